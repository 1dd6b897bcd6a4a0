"use strict";
// The explorer of a report: counts what is chosen, with the intervals of tokcom_phy/results/intervals.py.

const Z = 1.959963984540054; // normal quantile at 0.975
const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#8a6d00", "#777777", "#b8860b"];
const SHAPES = ["circle", "square", "triangle-up", "diamond", "triangle-down", "cross"];
const DASHES = [[1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 1], [1, 3]];
const shown = (value) => value.toFixed(1).replace("-", "−");
const db = (value) => String(Number(value.toFixed(2))).replace("-", "−") + " dB";

function logGamma(x) {
  const c = [76.18009172947146, -86.50532032941677, 24.01409824083091, -1.231739572450155, 1.208650973866179e-3, -5.395239384953e-6];
  let y = x, sum = 1.000000000190015;
  for (const part of c) sum += part / ++y;
  return Math.log((2.5066282746310005 * sum) / x) + (x + 0.5) * Math.log(x + 5.5) - (x + 5.5);
}

function betaFraction(a, b, x) {
  const tiny = 1e-300;
  let c = 1, d = 1 / (1 - ((a + b) * x) / (a + 1) || tiny), value = d;
  for (let m = 1; m < 500; m++) {
    for (const top of [(m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m)), (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))]) {
      d = 1 / (1 + top * d || tiny);
      c = 1 + top / c || tiny;
      value *= c * d;
    }
    if (Math.abs(c * d - 1) < 1e-14) break;
  }
  return value;
}

function incompleteBeta(a, b, x) {
  const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x));
  return x < (a + 1) / (a + b + 2) ? (front * betaFraction(a, b, x)) / a : 1 - (front * betaFraction(b, a, 1 - x)) / b;
}

// Student's t quantile at 0.975, by bisection of its distribution.
function studentQuantile(freedom) {
  let low = 0, high = 1000;
  for (let step = 0; step < 80; step++) {
    const t = (low + high) / 2;
    if (1 - incompleteBeta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2 < 0.975) low = t;
    else high = t;
  }
  return (low + high) / 2;
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

function variance(values) {
  const middle = mean(values);
  return values.reduce((sum, value) => sum + (value - middle) ** 2, 0) / (values.length - 1);
}

// Half the interval of the mean of rows (seeds) of values (questions); 0 for one seed, or where nothing varies.
function halfWidth(rows) {
  const seeds = rows.length, questions = rows[0].length;
  if (seeds === 1) return 0;
  const ofQuestions = variance(rows[0].map((_, place) => mean(rows.map((row) => row[place])))) / questions;
  const ofSeeds = variance(rows.map(mean)) / seeds;
  const both = ofQuestions + ofSeeds;
  if (!both) return 0;
  return studentQuantile(both ** 2 / (ofQuestions ** 2 / (questions - 1) + ofSeeds ** 2 / (seeds - 1))) * Math.sqrt(both);
}

function accuracy(rows) {
  const value = mean(rows.map(mean)), half = halfWidth(rows);
  if (half) return { value, low: Math.max(value - half, 0), high: Math.min(value + half, 1) };
  const n = rows[0].length, p = Math.floor(rows.flat().reduce((a, b) => a + b, 0) / rows.length) / n;
  const centre = (p + Z ** 2 / (2 * n)) / (1 + Z ** 2 / n);
  const spread = (Z / (1 + Z ** 2 / n)) * Math.sqrt((p * (1 - p)) / n + Z ** 2 / (4 * n ** 2));
  return { value, low: p === 0 ? 0 : centre - spread, high: p === 1 ? 1 : centre + spread };
}

function difference(rows, than) {
  const between = rows.map((row, seed) => row.map((mark, place) => mark - than[seed][place]));
  const value = mean(between.map(mean)), half = halfWidth(between);
  if (half) return { value, low: Math.max(value - half, -1), high: Math.min(value + half, 1) };
  const n = between[0].length, all = between.flat();
  const gained = all.filter((d) => d > 0).length / rows.length, lost = all.filter((d) => d < 0).length / rows.length;
  const centre = (gained - lost) / (n + 2);
  const width = Z * Math.sqrt(((gained + lost + 1) / (n + 2) - centre ** 2) / (n + 2));
  return { value, low: Math.max(centre - width, -1), high: Math.min(centre + width, 1) };
}

function make(name, properties = {}, children = []) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

class Explorer {
  constructor(root) {
    this.root = root;
    this.data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
    const points = new Map();
    for (const point of this.data.points) {
      const key = JSON.stringify([point.variant, point.link, point.snr]);
      if (!points.has(key)) points.set(key, []);
      points.get(key).push(point);
    }
    this.points = points;
    this.snrs = [...new Set(this.data.points.map((point) => point.snr))].sort((a, b) => a - b);
    this.controls();
    this.question();
    this.update();
  }

  part(name) {
    return this.root.querySelector(`[data-part="${name}"]`);
  }

  controls() {
    for (const [name, values, checked] of [["variants", this.data.variants, 5], ["links", this.data.links, 1], ["kinds", this.data.kinds, Infinity]]) {
      values.forEach((value, place) => {
        const box = make("input", { type: "checkbox", value: String(place), checked: place < checked });
        this.part(name).append(make("label", {}, [box, " ", value]));
      });
    }
    for (const name of ["from", "to"]) this.part(name).append(...this.snrs.map((snr) => make("option", { value: String(snr), textContent: db(snr) })));
    this.part("to").value = String(this.snrs.at(-1));
    this.part("reference").append(make("option", { value: "", textContent: "none: accuracy itself" }));
    this.data.variants.forEach((variant, v) => this.part("reference").append(make("option", { value: `v${v}`, textContent: `${variant}, over the same link` })));
    this.data.links.forEach((link, l) => this.part("reference").append(make("option", { value: `l${l}`, textContent: `the same variant over ${link}` })));
    this.root.querySelector("form").addEventListener("change", () => this.update());
    this.root.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
    this.part("csv").addEventListener("click", () => this.download());
  }

  chosen(name) {
    return [...this.part(name).querySelectorAll("input:checked")].map((box) => this.data[name][Number(box.value)]);
  }

  rows(variant, link, snr) {
    const kinds = new Set(this.chosen("kinds").map((kind) => this.data.kinds.indexOf(kind)));
    const found = this.points.get(JSON.stringify([variant, link, snr])) ?? [];
    const places = this.data.kind.flatMap((kind, place) => (kinds.has(kind) ? [place] : []));
    return new Map(found.map((point) => [point.seed, places.map((place) => Number(point.marks[place]))]));
  }

  table() {
    const variants = this.chosen("variants"), links = this.chosen("links"), reference = this.part("reference").value;
    const [from, to] = ["from", "to"].map((name) => Number(this.part(name).value));
    const table = [];
    for (const link of links) {
      for (const variant of variants) {
        const other = reference[0] === "v" ? [this.data.variants[Number(reference.slice(1))], link] : [variant, this.data.links[Number(reference.slice(1))]];
        if (reference && other[0] === variant && other[1] === link) continue;
        for (const snr of this.snrs.filter((value) => value >= from && value <= to)) {
          const mine = this.rows(variant, link, snr);
          const than = reference ? this.rows(...other, snr) : mine;
          const seeds = [...mine.keys()].filter((seed) => than.has(seed)).sort((a, b) => a - b);
          if (!seeds.length || !mine.get(seeds[0]).length) continue;
          const marks = seeds.map((seed) => mine.get(seed));
          const found = reference ? difference(marks, seeds.map((seed) => than.get(seed))) : accuracy(marks);
          const series = links.length > 1 ? `${variant} over ${link}` : variant;
          table.push({ series, variant, link, than: reference ? other.join(" over ") : "", snr, value: 100 * found.value, low: 100 * found.low, high: 100 * found.high, n: marks[0].length, seeds: seeds.length });
        }
      }
    }
    return table;
  }

  update() {
    this.shown = this.table();
    const reference = Boolean(this.part("reference").value);
    const n = this.shown[0]?.n ?? 0;
    this.part("said").textContent = this.shown.length
      ? `${this.shown.length} values of ${n} questions each, 95 % intervals`
      : "Nothing is chosen, or no points are there: choose variants, links, question types and SNRs.";
    this.draw(reference);
    this.numbers();
    this.answers();
  }

  draw(reference) {
    if (!this.shown.length) return this.part("chart").replaceChildren();
    const series = [...new Set(this.shown.map((row) => row.series))];
    const dark = matchMedia("(prefers-color-scheme: dark)").matches && !matchMedia("print").matches;
    const ink = dark ? "#e6edf3" : "#1b1f24";
    const title = reference ? "difference of accuracy [points]" : "answer accuracy [%]";
    const scale = (range) => ({ domain: series, range: series.map((_, place) => range[place % range.length]) });
    const encoding = {
      x: { field: "snr", type: "quantitative", title: "SNR [dB]", scale: { zero: false, padding: 12 }, axis: { values: this.snrs, labelOverlap: true } },
      color: { field: "series", type: "nominal", title: null, scale: scale(COLOURS), legend: { orient: "bottom", columns: innerWidth < 640 ? 1 : 3, labelLimit: 320, symbolOpacity: 1, symbolSize: 120 } },
    };
    const y = { field: "value", type: "quantitative", title, scale: reference ? {} : { domain: [0, 100] } };
    const tip = this.shown.map((row) => ({ ...row, interval: `${shown(row.low)} to ${shown(row.high)}`, said: shown(row.value), at: db(row.snr) }));
    const spec = {
      data: { values: tip },
      width: "container",
      height: innerWidth < 640 ? 260 : 380,
      background: null,
      description: `${title} against SNR; the table below holds the same numbers`,
      config: { axis: { labelColor: ink, titleColor: ink, gridColor: dark ? "#323c47" : "#e3e6ea", labelFontSize: 12, titleFontSize: 13 }, legend: { labelColor: ink, labelFontSize: 12 }, view: { stroke: null } },
      layer: [
        { mark: { type: "area", opacity: 0.15 }, encoding: { ...encoding, y: { field: "low", type: "quantitative", title }, y2: { field: "high" } } },
        { mark: { type: "line", strokeWidth: 2 }, encoding: { ...encoding, y, strokeDash: { field: "series", type: "nominal", title: null, scale: scale(DASHES) } } },
        {
          mark: { type: "point", filled: true, size: 80, opacity: 1 },
          encoding: { ...encoding, y, shape: { field: "series", type: "nominal", title: null, scale: scale(SHAPES) }, tooltip: [["series", "system"], ["at", "SNR"], ["said", title], ["interval", "95 % interval"], ["n", "questions"], ["seeds", "seeds"]].map(([field, name]) => ({ field, title: name, type: "nominal" })) },
        },
        ...(reference ? [{ mark: { type: "rule", color: ink }, encoding: { y: { datum: 0 } } }] : []),
      ],
    };
    this.drawn = window.vegaEmbed(this.part("chart"), spec, { ast: true, renderer: "svg", actions: false });
  }

  numbers() {
    const snrs = [...new Set(this.shown.map((row) => row.snr))];
    const head = make("tr", {}, [make("th", { scope: "col", textContent: "system" }), ...snrs.map((snr) => make("th", { scope: "col", textContent: db(snr) }))]);
    const body = [...new Set(this.shown.map((row) => row.series))].map((series) => {
      const cells = snrs.map((snr) => {
        const row = this.shown.find((one) => one.series === series && one.snr === snr);
        const cell = make("td", {}, row ? [shown(row.value), make("small", { textContent: `${shown(row.low)} to ${shown(row.high)}` })] : ["–"]);
        cell.dataset.label = db(snr);
        return cell;
      });
      return make("tr", {}, [make("th", { scope: "row", textContent: series }), ...cells]);
    });
    this.part("numbers").replaceChildren(make("table", {}, [make("thead", {}, [head]), make("tbody", {}, body)]));
  }

  question() {
    const number = this.part("number");
    number.max = String(this.data.questions.length);
    number.addEventListener("input", () => this.answers());
    this.part("previous").addEventListener("click", () => this.step(-1));
    this.part("next").addEventListener("click", () => this.step(1));
  }

  // To the next question of a chosen kind.
  step(by) {
    const kinds = new Set(this.chosen("kinds").map((kind) => this.data.kinds.indexOf(kind)));
    let place = Number(this.part("number").value) - 1 + by;
    while (place >= 0 && place < this.data.questions.length && !kinds.has(this.data.kind[place])) place += by;
    if (place >= 0 && place < this.data.questions.length) this.part("number").value = String(place + 1);
    this.answers();
  }

  answers() {
    const place = Number(this.part("number").value) - 1;
    const target = this.part("answers");
    const asked = this.data.questions[place];
    if (!asked) return target.replaceChildren(make("p", { textContent: `There are questions 1 to ${this.data.questions.length}.` }));
    const [clip, question, truth] = asked;
    const snrs = [...new Set(this.shown.map((row) => row.snr))];
    const rows = [...new Map(this.shown.map((row) => [row.series, row])).values()].map((row) => {
      const cells = snrs.map((snr) => {
        const point = (this.points.get(JSON.stringify([row.variant, row.link, snr])) ?? [])[0];
        const right = point?.marks[place] === "1";
        const said = !point ? "–" : point.answers ? this.data.texts[point.answers[place]] || "(nothing)" : right ? "right" : "wrong";
        const cell = make("td", { textContent: said, className: right ? "better" : "" });
        cell.dataset.label = db(snr);
        if (right) cell.append(make("span", { className: "hidden", textContent: ", right" }));
        return cell;
      });
      return make("tr", {}, [make("th", { scope: "row", textContent: row.series }), ...cells]);
    });
    const head = make("tr", {}, [make("th", { scope: "col", textContent: "system" }), ...snrs.map((snr) => make("th", { scope: "col", textContent: db(snr) }))]);
    target.replaceChildren(
      make("p", {}, [make("strong", { textContent: question }), ` Truth: ${truth} · ${this.data.kinds[this.data.kind[place]]}, clip ${clip}`]),
      make("div", { className: "scroll", tabIndex: 0 }, [make("table", { className: "said" }, [make("thead", {}, [head]), make("tbody", {}, rows)])]),
    );
  }

  csv() {
    const quote = (value) => {
      const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value); // no formula
      return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const columns = ["variant", "link", "than", "snr", "value", "low", "high", "n", "seeds"];
    return [columns.join(","), ...this.shown.map((row) => columns.map((column) => quote(row[column])).join(","))].join("\n") + "\n";
  }

  download() {
    make("a", { href: "data:text/csv;charset=utf-8," + encodeURIComponent(this.csv()), download: "shown.csv" }).click();
  }
}

window.explorers = [...document.querySelectorAll(".explorer")].map((root) => {
  root.hidden = false;
  return new Explorer(root);
});
