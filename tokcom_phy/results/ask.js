"use strict";
const hearings = JSON.parse(document.getElementById("data").textContent);
const slider = document.getElementById("snr");
const SVG = "http://www.w3.org/2000/svg";
const LIMIT = 2.6; // of the constellation's axes, in units of what was sent

function db(value) {
  return value === null ? "∞ dB" : value.toFixed(1).replace("-", "−") + " dB";
}

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent.append(made);
  return made;
}

function constellation(svg, symbols) {
  svg.replaceChildren();
  element("path", { d: `M-${LIMIT} 0H${LIMIT}M0-${LIMIT}V${LIMIT}`, class: "axis" }, svg);
  element("circle", { r: 1, class: "sent" }, svg);
  for (const [re, im] of symbols) {
    const far = Math.max(Math.abs(re), Math.abs(im)) / LIMIT;
    const scale = far > 1 ? 1 / far : 1; // beyond the edge: on it
    element("circle", { cx: re * scale, cy: -im * scale, r: 0.035, class: far > 1 ? "outside" : "symbol" }, svg);
  }
}

function show(place) {
  const heard = hearings[place];
  const snr = db(heard.snr_db);
  document.getElementById("value").textContent = snr;
  slider.setAttribute("aria-valuetext", snr);
  const answer = document.getElementById("answer");
  answer.textContent = heard.answer || "(nothing)";
  answer.className = heard.right === null ? "" : heard.right ? "right" : "wrong";
  document.getElementById("verdict").textContent = heard.right === null ? "" : heard.right ? "✓ right" : "✗ wrong";
  const likely = document.getElementById("likeliest");
  likely.replaceChildren();
  for (const [text, probability] of heard.likeliest) {
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.textContent = text || "(nothing)";
    const bar = document.createElement("td");
    const meter = document.createElement("meter");
    meter.value = probability;
    bar.append(meter);
    const number = document.createElement("td");
    number.textContent = (100 * probability).toFixed(1) + " %";
    row.append(name, bar, number);
    likely.append(row);
  }
  for (const card of document.querySelectorAll("[data-modality]")) {
    const modality = card.dataset.modality;
    constellation(card.querySelector("svg"), heard.symbols[modality] ?? []);
    card.querySelector(".effective").textContent = db(heard.effective_snr_db[modality] ?? null);
    const error = heard.token_error_db[modality] ?? null;
    card.querySelector(".error").textContent = error === null ? "none" : db(error);
  }
}

slider.addEventListener("input", () => show(Number(slider.value)));
show(Number(slider.value));
