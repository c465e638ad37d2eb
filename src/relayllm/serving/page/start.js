const $ = (id) => document.getElementById(id);
const FACTS = { bias_curve: [], prices: null, known: false };
