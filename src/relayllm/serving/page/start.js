const $ = (id) => document.getElementById(id);
const FACTS = { dial: [], prices: null, known: false };
