const $ = (id) => document.getElementById(id);
const FACTS = { call_ratios: [], own_call_ratio: null, alone: null, known: false };
