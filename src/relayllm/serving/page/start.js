const $ = (id) => document.getElementById(id);
const FACTS = { model: null, call_ratios: [], own_call_ratio: null, alone: null, known: false };
