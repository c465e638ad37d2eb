const $ = (id) => document.getElementById(id);
const FACTS = { model: null, helped: true, call_ratios: [], own_call_ratio: null, alone: null, known: false };
