"use strict";
// Draws the page's charts. Every number that is drawn is read from the CSV that the chart's data link gives.
(() => {
  const COLOURS = JSON.parse(document.getElementById("colours").textContent);
  const CONFIG = { displaylogo: false, showSendToCloud: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const NARROW = 700;
  const charts = new Map();

  const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const dark = () => document.documentElement.dataset.theme === "dark";
  // plotly reads tags in texts; names are shown as they are.
  const safe = text => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (value !== false) node.setAttribute(name, value === true ? "" : value);
    node.append(...children);
    return node;
  };

  async function unpack(id) {
    const packed = Uint8Array.from(atob(document.getElementById(id).textContent.trim()), letter => letter.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // ---- tables -------------------------------------------------------------------------------------------------------------

  function fields(line) {
    if (!line.includes('"')) return line.split(",");
    const found = [];
    for (let place = 0; place <= line.length; ) {
      if (line[place] !== '"') {
        const end = line.indexOf(",", place) < 0 ? line.length : line.indexOf(",", place);
        found.push(line.slice(place, end));
        place = end + 1;
        continue;
      }
      let text = "";
      for (place += 1; ; place += 1) {
        if (line[place] === '"' && line[place + 1] === '"') place += 1;
        else if (line[place] === '"' || place >= line.length) break;
        text += line[place];
      }
      found.push(text);
      place += 2;
    }
    return found;
  }

  function parse(csv, text) {
    const [head, ...lines] = csv.trimEnd().split("\n");
    const names = fields(head);
    const columns = Object.fromEntries(names.map(name => [name, new Array(lines.length)]));
    const numeric = names.map(name => !text.includes(name));
    lines.forEach((line, row) => {
      const values = fields(line);
      names.forEach((name, place) => {
        columns[name][row] = numeric[place] ? (values[place] === "" ? null : Number(values[place])) : values[place];
      });
    });
    return { columns, length: lines.length };
  }

  function select(table, where, among) {
    const tests = Object.entries(where).map(([name, value]) => [table.columns[name], value]);
    const found = [];
    const count = among ? among.length : table.length;
    for (let place = 0; place < count; place += 1) {
      const row = among ? among[place] : place;
      if (tests.every(([column, value]) => column[row] === value)) found.push(row);
    }
    return found;
  }

  const pick = (table, name, rows) => rows.map(row => table.columns[name][row]);
  const distinct = values => [...new Set(values)];

  // ---- colours --------------------------------------------------------------------------------------------------------------

  const parts = colour => [1, 3, 5].map(place => parseInt(colour.slice(place, place + 2), 16));
  const mix = (one, two, share) => "#" + parts(one).map((value, place) => Math.round(value + (parts(two)[place] - value) * share).toString(16).padStart(2, "0")).join("");
  const clear = (colour, share) => `rgba(${parts(colour).join(",")},${share})`;
  // Values that have an order go from dark to light (viridis, without the end that is lost on the ground); values that have none get the
  // palette of hues that colour-blind readers tell apart, and other dashes when it is used up.
  const HUES = Object.keys(COLOURS).filter(name => name.startsWith("hue")).map(name => COLOURS[name]);
  const ORDERED = ["#440154", "#3b528b", "#21918c", "#5ec962", "#fde725"];
  function inOrder(share) {
    const at = (dark() ? 0.24 + 0.76 * share : 0.78 * share) * (ORDERED.length - 1), low = Math.min(Math.floor(at), ORDERED.length - 2);
    return mix(ORDERED[low], ORDERED[low + 1], at - low);
  }
  function paints(values) {
    const ordered = values.length > HUES.length || values.every(value => value !== "" && Number.isFinite(Number(value)));
    return values.map((_, place) => ordered ? inOrder(values.length > 1 ? place / (values.length - 1) : 0.5) : HUES[place]);
  }
  // Names without what all of them begin with: the values of what was swept.
  function shortened(names) {
    const words = names.map(name => name.split(" "));
    let shared = 0;
    while (words.length > 1 && words.every(each => each.length > shared + 1 && each[shared] === words[0][shared])) shared += 1;
    return words.map(each => each.slice(shared).join(" "));
  }

  // ---- lines ----------------------------------------------------------------------------------------------------------------

  const DASH = { solid: "solid", dot: "dot", dash: "dash" };
  const written = value => value === null || value === undefined ? "" : String(+value.toPrecision(6));

  function axisStyle(extra) {
    return { gridcolor: style("--grid"), linecolor: style("--line"), zeroline: false, tickfont: { size: 11.5 }, ticks: "outside", tickcolor: style("--line"), automargin: true, ...extra };
  }

  // Decades alone where there are several, 1, 2, 5 where there are few; plain numbers, as people read them.
  function logTicks(panel, letter, table, rows) {
    const ends = panel[`${letter}_range`];
    const values = ends.length ? ends : panel.lines.flatMap(line => (letter === "x" ? [line.x || panel.x] : [line.y, line.low, line.high]).filter(Boolean).flatMap(name => pick(table, name, select(table, line.where, rows)))).filter(value => value > 0);
    const decades = values.length ? Math.log10(values.reduce((one, two) => Math.max(one, two)) / values.reduce((one, two) => Math.min(one, two))) : 1;
    return { tickformat: ",~g", dtick: decades > 2.5 ? 1 : decades > 0.6 ? "D2" : "D1", minor: { ticks: "outside", ticklen: 3, tickcolor: style("--line"), showgrid: false, dtick: "D1" } };
  }

  function lineTraces(table, rows, panel, line, axes) {
    const xs = line.x || panel.x;
    let chosen = select(table, line.where, rows).filter(row => table.columns[line.y][row] !== null && table.columns[xs][row] !== null);
    if (panel.x_log) chosen = chosen.filter(row => table.columns[xs][row] > 0);
    if (panel.y_log) chosen = chosen.filter(row => table.columns[line.y][row] > 0);
    if (!chosen.length) return [];
    const colour = line.paint || COLOURS[line.colour];
    const x = pick(table, xs, chosen), y = pick(table, line.y, chosen);
    const low = line.low ? pick(table, line.low, chosen) : [], high = line.high ? pick(table, line.high, chosen) : [];
    const seeds = table.columns.seeds ? pick(table, "seeds", chosen) : [];
    const more = chosen.map((_, place) => {
      const band = line.low && low[place] !== null ? `<br>${written(low[place])} to ${written(high[place])}` : "";
      return band + (seeds.length && line.style !== "dash" ? `<br>seeds: ${written(seeds[place])}` : "");
    });
    const points = line.style === "points" || line.style === "joined";
    const trace = {
      x, y, customdata: more, name: safe(line.name), meta: line.name, showlegend: false, type: "scatter",
      mode: line.style === "points" ? "markers" : line.style === "joined" || chosen.length === 1 ? "lines+markers" : "lines",
      line: { color: colour, width: 2, dash: DASH[line.style] || "solid" }, marker: { color: colour, size: 7, symbol: line.symbol || "circle" },
      hovertemplate: `<b>${safe(line.name)}</b><br>${safe(panel.x_label)}: %{x}<br>${safe(panel.y_label)}: %{y:.6~g}%{customdata}<extra></extra>`,
      ...axes,
    };
    if (!line.low || line.bandless) return [trace];
    if (points) {
      trace.error_y = {
        type: "data", symmetric: false, color: colour, thickness: 1.2, width: 3,
        array: y.map((value, place) => high[place] === null ? 0 : high[place] - value),
        arrayminus: y.map((value, place) => low[place] === null ? 0 : value - low[place]),
      };
      return [trace];
    }
    const there = chosen.map((_, place) => place).filter(place => low[place] !== null && high[place] !== null && (!panel.y_log || low[place] > 0));
    if (there.length < 2 || there.every(place => low[place] === high[place])) return [trace];
    const edge = { type: "scatter", mode: "lines", line: { width: 0 }, hoverinfo: "skip", showlegend: false, meta: line.name, x: there.map(place => x[place]), ...axes };
    return [
      { ...edge, y: there.map(place => low[place]) },
      { ...edge, y: there.map(place => high[place]), fill: "tonexty", fillcolor: clear(colour.startsWith("#") ? colour : "#888888", 0.16) },
      trace,
    ];
  }

  function layoutOf(width, count, across, high, beside = 0) {
    const columns = width < NARROW ? 1 : Math.min(across, count);
    const down = Math.ceil(count / columns);
    const height = down * high + 30;
    const gapX = columns > 1 ? Math.min(0.2, (86 + beside) / width) : 0, gapY = 100 / height;
    const cell = (1 - gapX * (columns - 1)) / columns, tall = (1 - gapY * (down - 1)) / down;
    const place = number => {
      const column = number % columns, row = Math.floor(number / columns);
      return { x: [column * (cell + gapX), column * (cell + gapX) + cell], y: [1 - row * (tall + gapY) - tall, 1 - row * (tall + gapY)] };
    };
    return { height, place, columns };
  }

  const base = height => ({
    height, margin: { l: 58, r: 14, t: 30, b: 50 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: style("--text"), size: 13, family: "system-ui, sans-serif" }, hovermode: "closest", showlegend: false, annotations: [], shapes: [],
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--text") }, align: "left", namelength: -1 },
  });

  function title(layout, text, place) {
    if (text) layout.annotations.push({ text: safe(text), x: place.x[0], y: place.y[1], xref: "paper", yref: "paper", xanchor: "left", yanchor: "bottom", showarrow: false, font: { size: 13.5, color: style("--text") }, align: "left" });
  }

  // Names of lines beside their ends, in their colours, pushed apart where they would meet; none where they are too many or too long.
  const LABEL = 14;
  function labelled(panels, tall) {
    const longest = Math.max(0, ...panels.flatMap(panel => (panel.labels || []).map(label => label.text.length)));
    const most = Math.max(0, ...panels.map(panel => (panel.labels || []).length));
    return most > 1 && most * LABEL < tall && longest <= 16 ? longest * 7 + 8 : 0;
  }
  function labels(chart, panel, at, range, high, end, layout) {
    const { columns } = chart.table, tall = (at.y[1] - at.y[0]) * high;
    const found = panel.labels.flatMap(label => {
      const rows = select(chart.table, label.where).filter(row => columns[panel.metric][row] !== null && columns[panel.x][row] !== null && (!panel.y_log || columns[panel.metric][row] > 0));
      if (!rows.length || chart.hidden.has(label.name)) return [];
      const value = columns[panel.metric][rows[rows.length - 1]];
      return [{ ...label, y: ((panel.y_log ? Math.log10(value) : value) - range[0]) / (range[1] - range[0]) * tall }];
    }).sort((one, two) => one.y - two.y);
    for (let turn = 0; turn < 60; turn += 1) {
      for (let place = 1; place < found.length; place += 1) {
        const off = LABEL - (found[place].y - found[place - 1].y);
        if (off > 0) { found[place - 1].y -= off / 2; found[place].y += off / 2; }
      }
    }
    for (const label of found) {
      layout.annotations.push({ text: safe(label.text), x: 1, xref: `x${end} domain`, y: label.y / tall, yref: `y${end} domain`, xanchor: "left", yanchor: "middle", xshift: 4, showarrow: false, font: { size: 12, color: label.paint } });
    }
  }
  function rangeOf(chart, panel, rows) {
    if (panel.y_range.length) return panel.y_range.map(value => panel.y_log ? Math.log10(value) : value);
    let values = panel.lines.flatMap(line => [line.y, line.low, line.high].filter(Boolean).flatMap(name => pick(chart.table, name, select(chart.table, line.where, rows)))).filter(value => value !== null && (!panel.y_log || value > 0));
    if (panel.y_log) values = values.map(Math.log10);
    const low = values.reduce((one, two) => Math.min(one, two), Infinity), high = values.reduce((one, two) => Math.max(one, two), -Infinity);
    return Number.isFinite(low) ? [low - 0.05 * (high - low || 1), high + 0.05 * (high - low || 1)] : [0, 1];
  }

  // Words of points stand above the axes, where no point lies on them, those that would meet on rows of their own.
  function words(chart, panel, rows, at, width, end, layout) {
    const found = [];
    for (const line of panel.lines.filter(each => each.text)) {
      const xs = chart.table.columns[line.x || panel.x];
      for (const row of select(chart.table, line.where, rows)) {
        if (chart.table.columns[line.text][row] && chart.table.columns[line.y][row] !== null) found.push({ x: xs[row], text: chart.table.columns[line.text][row] });
      }
    }
    if (!found.length) return 0;
    const all = panel.lines.flatMap(line => pick(chart.table, line.x || panel.x, select(chart.table, line.where, rows))).filter(value => value !== null);
    const low = Math.min(...all), high = Math.max(...all), pad = 0.12 * (high - low || 1), ends = [];
    layout[`xaxis${end}`].range = [low - pad, high + pad];
    const wide = (at.x[1] - at.x[0]) * (width - 72);
    for (const each of found.sort((one, two) => one.x - two.x)) {
      const place = (each.x - low + pad) / (high - low + 2 * pad) * wide, half = each.text.length * 3.6 + 5;
      let line = ends.findIndex(last => place - half > last);
      if (line < 0) line = ends.push(0) - 1;
      ends[line] = place + half;
      layout.shapes.push({ type: "line", xref: `x${end}`, yref: `y${end} domain`, x0: each.x, x1: each.x, y0: 0, y1: 1, line: { color: style("--line"), width: 1 }, layer: "below" });
      layout.annotations.push({ text: safe(each.text), x: each.x, xref: `x${end}`, y: 1, yref: `y${end} domain`, yanchor: "bottom", yshift: 15 * line, showarrow: false, font: { size: 12, color: style("--text") } });
    }
    return ends.length * 15;
  }

  function drawPanels(chart, panels, rows, across) {
    const width = chart.box.clientWidth || 800, high = panels.length > 2 ? 310 : 350;
    const beside = labelled(panels, high - 90);
    const { height, place } = layoutOf(width, panels.length, across, high, beside);
    const layout = base(height), traces = [];
    if (!panels.some(panel => panel.title)) layout.margin.t = 12;
    layout.margin.r += beside;
    panels.forEach((panel, number) => {
      const end = number ? number + 1 : "", at = place(number);
      const mine = panel.lines.flatMap(line => lineTraces(chart.table, rows, panel, line, { xaxis: `x${end}`, yaxis: `y${end}` }));
      title(layout, panel.title, at);
      if (!mine.length) {
        // Axes without a curve have no ends that anything could be drawn between.
        layout.annotations.push({ text: "nothing was measured here", x: (at.x[0] + at.x[1]) / 2, y: (at.y[0] + at.y[1]) / 2, xref: "paper", yref: "paper", showarrow: false, font: { color: style("--soft") } });
        return;
      }
      traces.push(...mine);
      const numbers = !chart.plan.text.includes(panel.x);
      const x = axisStyle({ domain: at.x, anchor: `y${end}`, title: { text: safe(panel.x_label), standoff: 6, font: { size: 12.5 } }, type: numbers ? (panel.x_log ? "log" : "linear") : "category" });
      if (!numbers) Object.assign(x, { categoryorder: "array", categoryarray: distinct(rows ? pick(chart.table, panel.x, rows) : chart.table.columns[panel.x]) });
      const y = axisStyle({ domain: at.y, anchor: `x${end}`, title: { text: safe(panel.y_label), standoff: 8, font: { size: 12.5 } }, type: panel.y_log ? "log" : "linear" });
      if (panel.y_range.length) y.range = panel.y_range.map(value => panel.y_log ? Math.log10(value) : value);
      if (panel.x_range.length) x.range = panel.x_range.map(value => panel.x_log ? Math.log10(value) : value);
      for (const [axis, letter] of [[x, "x"], [y, "y"]]) if (axis.type === "log") Object.assign(axis, logTicks(panel, letter, chart.table, rows));
      layout[`xaxis${end}`] = x;
      layout[`yaxis${end}`] = y;
      if (beside) {
        y.range = rangeOf(chart, panel, rows);
        labels(chart, panel, at, y.range, height - layout.margin.t - layout.margin.b, end, layout);
      }
      layout.margin.t += words(chart, panel, rows, at, width, end, layout);
      if (panel.band.length) layout.shapes.push({ type: "rect", xref: `x${end} domain`, yref: `y${end}`, x0: 0, x1: 1, y0: panel.band[0], y1: panel.band[1], fillcolor: "#999999", opacity: 0.18, line: { width: 0 }, layer: "below" });
      if (panel.rule !== null) {
        layout.shapes.push({ type: "line", xref: `x${end} domain`, yref: `y${end}`, x0: 0, x1: 1, y0: panel.rule, y1: panel.rule, line: { color: "#999999", width: 1, dash: "dash" } });
        if (panel.rule_name) layout.annotations.push({ text: safe(panel.rule_name), xref: `x${end} domain`, yref: `y${end}`, x: 1, y: panel.y_log ? Math.log10(panel.rule) : panel.rule, xanchor: "right", yanchor: "bottom", showarrow: false, font: { size: 11, color: style("--soft") } });
      }
    });
    legend(chart, panels.flatMap(panel => panel.lines), traces);
    return { traces, layout };
  }

  function legend(chart, lines, traces) {
    const drawn = new Set(traces.map(trace => trace.meta));
    const entries = new Map(lines.filter(line => drawn.has(line.name) && !line.unlisted).map(line => [line.name, line]));
    chart.legend.replaceChildren();
    if (entries.size < 2) return;
    for (const [name, line] of entries) {
      const colour = line.paint || COLOURS[line.colour];
      const points = line.style === "points" || line.style === "joined";
      const sign = points ? `<circle cx="13" cy="6" r="4" fill="${colour}"/>` : `<line x1="0" y1="6" x2="26" y2="6" stroke="${colour}" stroke-width="2.5"${line.style === "dot" ? ' stroke-dasharray="2 3"' : line.style === "dash" ? ' stroke-dasharray="7 4"' : ""}/>`;
      const swatch = new DOMParser().parseFromString(`<svg xmlns="http://www.w3.org/2000/svg" width="26" height="12" aria-hidden="true">${sign}</svg>`, "image/svg+xml").documentElement;
      const button = make("button", { type: "button", "aria-pressed": String(!chart.hidden.has(name)), title: "show or hide" }, swatch, name);
      button.addEventListener("click", () => {
        chart.hidden.has(name) ? chart.hidden.delete(name) : chart.hidden.add(name);
        button.setAttribute("aria-pressed", String(!chart.hidden.has(name)));
        draw(chart, true);
      });
      chart.legend.append(make("li", {}, button));
    }
  }

  // ---- learning curves, with their switches -----------------------------------------------------------------------------------

  const KIND_NAMES = { top: "top only", bottom: "bottom only", both: "both", conflict: "conflict", empty: "empty" };
  const TIMES = { step: "training step", samples: "dominoes seen", of_side: "dominoes seen with this side shown" };

  function learningControls(chart) {
    const { columns } = chart.table;
    const kinds = Object.keys(KIND_NAMES).filter(kind => columns.kind.includes(kind));
    const others = distinct(columns.kind).filter(kind => !(kind in KIND_NAMES));
    const groups = distinct(columns.group), splits = ["test", "train"].filter(split => columns.split.includes(split));
    const every = Math.max(1, Math.ceil(groups.length / 5));
    const state = chart.state = {
      metric: "both", time: "step", log: true, y_log: false, band: true, by: "kind",
      kinds: new Set(kinds.filter(kind => kind === "top" || kind === "bottom")), splits: new Set(splits.slice(0, groups.length > 1 ? 1 : 2)),
      groups: new Set(groups.filter((_, place) => place % every === 0 || place === groups.length - 1)),
    };
    if (!state.kinds.size) kinds.concat(others).forEach(kind => state.kinds.add(kind));
    const again = () => draw(chart, true);
    const choose = (name, label, options) => {
      const box = make("select", { "data-switch": name });
      for (const [value, text] of Object.entries(options)) box.append(make("option", { value, selected: state[name] === value }, text));
      box.addEventListener("change", () => { state[name] = box.value; again(); });
      return make("label", {}, make("span", { class: "soft" }, label), box);
    };
    const tick = (name, label) => {
      const box = make("input", { type: "checkbox", "data-switch": name, checked: state[name] });
      box.addEventListener("change", () => { state[name] = box.checked; again(); });
      return make("label", {}, box, label);
    };
    const several = (name, label, values, names) => {
      const set = make("fieldset", { class: values.length > 8 ? "many" : "" }, make("legend", {}, label));
      for (const value of values) {
        const box = make("input", { type: "checkbox", "data-switch": `${name}:${value}`, checked: state[name].has(value) });
        box.addEventListener("change", () => { box.checked ? state[name].add(value) : state[name].delete(value); again(); });
        set.append(make("label", {}, box, names[value] || value));
      }
      return set;
    };
    const times = Object.fromEntries(Object.entries(TIMES).filter(([name]) => columns[name].some(value => value !== null)));
    const items = [
      choose("metric", "show", { both: "loss and accuracy", loss: "loss", accuracy: "accuracy" }), choose("time", "against", times),
      tick("log", "log time"), tick("y_log", "log loss"), tick("band", "band"),
      several("splits", "split", splits, {}), several("kinds", "kinds", kinds.concat(others), KIND_NAMES),
    ];
    if (groups.length > 1) items.push(choose("by", "a panel for each", { kind: "kind", group: "value" }), several("groups", "values", groups, {}));
    chart.controls.replaceChildren(...items);
  }

  function learningPanels(chart) {
    const { state, table } = chart;
    const groups = distinct(table.columns.group), chosen = groups.filter(group => state.groups.has(group));
    const kinds = [...state.kinds], metrics = state.metric === "both" ? ["loss", "accuracy"] : [state.metric];
    const shaded = groups.length > 1 && state.by === "kind";
    const rows = shaded ? kinds.map(kind => ({ title: KIND_NAMES[kind] || kind, kinds: [kind], groups: chosen })) : chosen.map(group => ({ title: group, kinds, groups: [group] }));
    const rules = Object.fromEntries(chart.plan.parts.map(part => [part.y_label, part]));
    const labels = { loss: "cross-entropy (nats)", accuracy: "accuracy" };
    const colours = paints(shortened(chosen)), brief = shortened(chosen);
    const panels = [];
    for (const row of rows) {
      for (const metric of metrics) {
        const lines = [], ends = [];
        for (const split of ["test", "train"].filter(name => state.splits.has(name))) {
          for (const kind of row.kinds) {
            row.groups.forEach(group => {
              const place = chosen.indexOf(group), colour = shaded ? colours[place] : COLOURS[kind] || "#888888";
              const name = shaded ? `${group}, ${split}` : `${KIND_NAMES[kind] || kind}, ${split}`;
              const line = {
                y: metric, name, low: `${metric}_low`, high: `${metric}_high`, x: "", style: split === "test" ? "solid" : "dot",
                where: { group, kind, split }, bandless: !state.band, paint: colour,
              };
              if (split === "test" || !state.splits.has("test")) ends.push({ name, text: shaded ? brief[place] : KIND_NAMES[kind] || kind, where: line.where, paint: colour });
              lines.push(line, { ...line, onset: true, unlisted: true });
            });
          }
        }
        const rule = rules[labels[metric]] || { rule: null, rule_name: "" };
        panels.push({
          title: row.title, x: state.time, x_label: TIMES[state.time], y_label: labels[metric], x_log: state.log, y_log: metric === "loss" && state.y_log,
          y_range: metric === "accuracy" ? [0, 1.02] : [], x_range: [], rule: rule.rule, rule_name: rule.rule_name, band: [], metric, labels: ends,
          lines: lines.filter(line => !line.onset), onsets: lines.filter(line => line.onset),
        });
      }
    }
    return { panels, across: metrics.length };
  }

  // A diamond on the mean curve at the step of the onset, between the two measurements around it.
  function onsetTraces(chart, panel, axes) {
    const { columns } = chart.table;
    return panel.onsets.flatMap(line => {
      const rows = select(chart.table, line.where).filter(row => columns[line.y][row] !== null && columns[panel.x][row] !== null);
      const onset = rows.length ? columns[`${panel.metric}_onset`][rows[0]] : null;
      if (onset === null) return [];
      const after = rows.findIndex(row => columns.step[row] >= onset);
      if (after < 1) return [];
      const [one, two] = [rows[after - 1], rows[after]];
      const share = (onset - columns.step[one]) / (columns.step[two] - columns.step[one]);
      const between = name => columns[name][one] + share * (columns[name][two] - columns[name][one]);
      return [{
        x: [between(panel.x)], y: [between(panel.metric)], type: "scatter", mode: "markers", meta: line.name, showlegend: false, name: safe(line.name),
        marker: { symbol: "diamond", size: 11, color: line.paint, line: { width: 1.5, color: style("--text") } },
        hovertemplate: `<b>onset: ${safe(line.name)}</b><br>step: ${written(onset)}<extra></extra>`, ...axes,
      }];
    });
  }

  // ---- grids and flows --------------------------------------------------------------------------------------------------------

  function gridOrder(values) {
    const names = distinct(values);
    return [...names.filter(name => name !== "blank").sort((one, two) => Number(one) - Number(two) || 0), ...names.filter(name => name === "blank")];
  }

  function drawGrids(chart, grids, rows) {
    const { columns } = chart.table;
    const width = chart.box.clientWidth || 800;
    const tall = grids[0].text ? 120 + 36 * distinct(pick(chart.table, grids[0].y, rows)).length : grids.length > 1 ? 400 : 420;
    const { height, place, columns: across } = layoutOf(width, grids.length, 3, tall);
    const layout = base(height), traces = [];
    layout.margin.t = 34;
    grids.forEach((grid, number) => {
      const end = number ? number + 1 : "", at = place(number), mine = select(chart.table, grid.where, rows);
      // Of cells with words the table's order says something; others stand in order.
      const order = grid.text ? distinct : gridOrder;
      const xs = order(pick(chart.table, grid.x, mine)), ys = order(pick(chart.table, grid.y, mine));
      const empty = () => ys.map(() => new Array(xs.length).fill("")), z = ys.map(() => new Array(xs.length).fill(null)), text = empty();
      for (const row of mine) {
        const x = xs.indexOf(columns[grid.x][row]), y = ys.indexOf(columns[grid.y][row]), value = columns[grid.value][row];
        z[y][x] = value === null ? null : grid.log ? Math.log10(value) : value;
        const n = columns.n ? `<br>n: ${columns.n[row]}` : columns.points ? `<br>points: ${columns.points[row]}` : "";
        text[y][x] = `${safe(grid.y_label)}: ${safe(ys[y])}<br>${safe(grid.x_label)}: ${safe(xs[x])}<br><b>${value === null ? "none" : written(value)}</b>${n}`;
        if (grid.text) layout.annotations.push({ text: safe(columns[grid.text][row]).replace(/; /g, "<br>"), x, y, xref: `x${end}`, yref: `y${end}`, showarrow: false, font: { size: width < NARROW ? 8.5 : 11, color: style("--text") } });
      }
      const flat = z.flat().filter(value => value !== null);
      const most = grid.most !== null ? grid.most : flat.length ? Math.max(...flat) : 1;
      const least = grid.below ? -most : grid.log && flat.length ? Math.min(...flat) : 0;
      const hue = name => grid.text ? mix(COLOURS[name], dark() ? "#14171b" : "#ffffff", 0.45) : COLOURS[name];
      const scale = grid.below ? [[0, hue(grid.below)], [0.5, style("--cell")], [1, hue(grid.colour)]] : [[0, style("--cell")], [1, hue(grid.colour)]];
      const ticks = [least, (least + most) / 2, most];
      layout[`xaxis${end}`] = axisStyle({ domain: at.x, anchor: `y${end}`, showgrid: false, tickmode: "array", ticks: "", tickangle: grid.below && width < NARROW ? -60 : 0, tickvals: xs.map((_, x) => x), ticktext: xs.map(name => name === "blank" && width < NARROW ? "–" : safe(name)), title: { text: safe(grid.x_label), standoff: 6, font: { size: 12.5 } } });
      layout[`yaxis${end}`] = axisStyle({ domain: at.y, anchor: `x${end}`, showgrid: false, autorange: "reversed", tickmode: "array", ticks: "", tickvals: ys.map((_, y) => y), ticktext: ys.map(safe), title: { text: grid.below ? "" : safe(grid.y_label), standoff: 6, font: { size: 12.5 } } });
      title(layout, grid.title, at);
      traces.push({
        type: "heatmap", z, text, hovertemplate: "%{text}<extra></extra>", colorscale: scale, zmin: least, zmax: most > least ? most : least + 1, hoverongaps: false,
        xgap: 1, ygap: 1, xaxis: `x${end}`, yaxis: `y${end}`, showscale: grids.length === 1,
        colorbar: { thickness: 10, len: 0.9, outlinewidth: 0, tickvals: ticks, ticktext: ticks.map(value => String(+(grid.log ? 10 ** value : value).toPrecision(3))) },
      });
    });
    chart.legend.replaceChildren();
    return { traces, layout };
  }

  function drawFlow(chart, flow, rows) {
    const { columns } = chart.table;
    const links = new Map(), through = new Map();
    for (const row of rows) {
      const key = JSON.stringify([columns.source[row], columns.target[row]]);
      if (!links.has(key)) links.set(key, { source: columns.source[row], target: columns.target[row], value: 0, by: [] });
      const link = links.get(key);
      link.value += columns.count[row];
      link.by.push(`${columns.label[row]}: ${columns.count[row]}`);
    }
    for (const link of links.values()) {
      for (const [name, way] of [[link.source, "out"], [link.target, "in"]]) {
        if (!through.has(name)) through.set(name, { in: 0, out: 0 });
        through.get(name)[way] += link.value;
      }
    }
    const names = Object.keys(flow.nodes).filter(name => through.has(name));
    const size = name => Math.max(through.get(name).in, through.get(name).out);
    const stacks = [0, 1, 2].map(column => names.filter(name => flow.nodes[name].column === column));
    const sum = stack => stack.reduce((total, name) => total + size(name), 0);
    const unit = 0.72 / Math.max(...stacks.map(sum));
    const lines = by => { const out = []; for (let place = 0; place < by.length; place += 5) out.push(by.slice(place, place + 5).join(", ")); return out.slice(0, 8).join("<br>") + (out.length > 8 ? "<br>…" : ""); };
    const top = new Map();
    for (const stack of stacks) {
      const gap = (1 - unit * sum(stack)) / (stack.length + 1);
      let at = 1 - gap;
      for (const name of stack) {
        top.set(name, at);
        at -= unit * size(name) + gap;
      }
    }
    const narrow = (chart.box.clientWidth || 800) < NARROW;
    const layout = base(470), thick = narrow ? 0.03 : 0.014, left = name => flow.nodes[name].column * (1 - thick) / 2;
    layout.margin = { l: 4, r: narrow ? 4 : 205, t: 8, b: 8 };
    layout.xaxis = { range: [0, 1], visible: false, fixedrange: true };
    layout.yaxis = { range: [0, 1], visible: false, fixedrange: true };
    const area = (x, y, colour, text) => ({ type: "scatter", mode: "lines", x, y, fill: "toself", fillcolor: colour, line: { width: 0, color: colour }, hoveron: "fills", hoverinfo: "text", text, meta: text, showlegend: false });
    const from = new Map(top), to = new Map(top);
    // In the order of their ends, so that ribbons of one node do not cross where they leave it.
    const all = [...links.values()].sort((one, two) => top.get(two.source) - top.get(one.source) || top.get(two.target) - top.get(one.target));
    const traces = all.map(link => {
      const tall = unit * link.value, x = [left(link.source) + thick, left(link.target)], y = [from.get(link.source), to.get(link.target)];
      from.set(link.source, y[0] - tall);
      to.set(link.target, y[1] - tall);
      const steps = Array.from({ length: 31 }, (_, place) => place / 30), bend = share => share * share * (3 - 2 * share);
      const across = steps.map(share => x[0] + share * (x[1] - x[0])), edge = steps.map(share => y[0] + bend(share) * (y[1] - y[0]));
      const text = `${safe(link.source)} → ${safe(link.target)}<br><b>${link.value}</b> pictures; by class:<br>${lines(link.by)}`;
      return area([...across, ...across.slice().reverse()], [...edge, ...edge.map(value => value - tall).reverse()], clear(COLOURS[flow.nodes[link.target].colour], dark() ? 0.45 : 0.35), text);
    });
    for (const name of names) {
      const node = flow.nodes[name], high = top.get(name), low = high - unit * size(name), x = left(name);
      const text = `${safe(name)}: ${(size(name) / node.per).toLocaleString("en")}${node.unit}`;
      traces.push(area([x, x + thick, x + thick, x], [high, high, low, low], COLOURS[node.colour], text));
      // On a phone names of the last column stand before their nodes, for there is no room behind.
      const before = narrow && node.column === 2;
      // The name of a thin node stands above its ribbons, which would strike it out.
      const thin = (high - low) * layout.height < 16 && node.column === 1;
      layout.annotations.push({ text: narrow && !thin ? text.replace(": ", "<br>") : text, x: before ? x : x + thick, y: thin ? high : (high + low) / 2, yanchor: thin ? "bottom" : "middle", xref: "x", yref: "y", xanchor: before ? "right" : "left", xshift: before ? -4 : 4, showarrow: false, align: before ? "right" : "left", font: { size: narrow ? 10.5 : 12.5 } });
    }
    chart.legend.replaceChildren();
    return { traces, layout };
  }

  // ---- charts -----------------------------------------------------------------------------------------------------------------

  async function load(chart) {
    const content = JSON.parse(await unpack(`data-${chart.id}`));
    Object.assign(chart, content, { table: parse(content.csv, content.plan.text) });
    const link = chart.figure.querySelector("a.data");
    link.href = URL.createObjectURL(new Blob([content.csv], { type: "text/csv" }));
    link.download = `${chart.id}.csv`;
    if (chart.plan.kind === "learning") learningControls(chart);
    else if (chart.plan.choice) {
      const choices = distinct(chart.table.columns[chart.plan.choice]);
      chart.choice = choices[0];
      if (choices.length > 1) {
        const box = make("select", { "data-switch": "choice", "aria-label": chart.plan.choice });
        choices.forEach(name => box.append(make("option", { value: name }, name)));
        box.addEventListener("change", () => { chart.choice = box.value; draw(chart, true); });
        chart.controls.replaceChildren(make("label", {}, make("span", { class: "soft" }, chart.plan.choice), box));
        chart.box.choose = name => { if (choices.includes(name)) { box.value = name; chart.choice = name; draw(chart, true); } };
      }
    }
  }

  async function draw(chart, again = false) {
    if (chart.drawn && !again) return chart.drawn;
    chart.drawn = (async () => {
      chart.loaded = chart.loaded || load(chart);
      await chart.loaded;
      await plotly();
      const rows = chart.plan.choice && chart.plan.kind !== "learning" ? select(chart.table, { [chart.plan.choice]: chart.choice }) : null;
      let made;
      if (chart.plan.kind === "learning") {
        const { panels, across } = learningPanels(chart);
        made = drawPanels(chart, panels, null, across);
        panels.forEach((panel, number) => {
          const end = number ? number + 1 : "";
          made.traces.push(...onsetTraces(chart, panel, { xaxis: `x${end}`, yaxis: `y${end}` }));
        });
      } else {
        const among = rows || Array.from({ length: chart.table.length }, (_, row) => row);
        const kind = chart.plan.parts[0].type;
        made = kind === "flow" ? drawFlow(chart, chart.plan.parts[0], among) : kind === "grid" ? drawGrids(chart, chart.plan.parts, among) : drawPanels(chart, chart.plan.parts, among, Math.min(3, chart.plan.parts.length === 4 ? 2 : 3));
      }
      made.traces.forEach(trace => { trace.visible = !chart.hidden.has(trace.meta); });
      chart.box.classList.remove("waiting");
      chart.width = chart.box.clientWidth;
      if (!made.traces.length && !made.layout.annotations.length) made.layout.annotations.push({ text: "nothing is chosen, or nothing was measured", xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false });
      // The width is told: plotly would keep that of before where the page has changed its own, as it does for paper.
      made.layout.width = chart.width || 800;
      await window.Plotly.react(chart.box, made.traces, made.layout, CONFIG);
      chart.figure.dataset.traces = made.traces.length;
    })();
    return chart.drawn;
  }

  let library = null;
  function plotly() {
    library = library || unpack("plotly").then(text => {
      const script = make("script");
      script.textContent = text;
      document.head.append(script);
    });
    return library;
  }

  for (const figure of document.querySelectorAll("figure.chart")) {
    charts.set(figure.id, { id: figure.id, figure, box: figure.querySelector(".plot"), controls: figure.querySelector(".controls"), legend: figure.querySelector(".legend"), hidden: new Set(), drawn: null });
  }
  const near = new IntersectionObserver(entries => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(charts.get(entry.target.id)); }
  }, { rootMargin: "500px" });
  charts.forEach(chart => near.observe(chart.figure));
  const drawAll = () => Promise.all([...charts.values()].map(chart => draw(chart)));
  window.dominoes = { drawAll, redrawn: () => Promise.all([...charts.values()].map(chart => chart.drawn)) };

  // Blocks that are only to be had, not drawn.
  for (const link of document.querySelectorAll("a.data[data-block]")) {
    link.addEventListener("click", async event => {
      if (link.download) return;
      event.preventDefault();
      link.href = URL.createObjectURL(new Blob([await unpack(link.dataset.block)], { type: "text/csv" }));
      link.download = link.dataset.name;
      link.click();
    });
  }

  // ---- theme, print, width ------------------------------------------------------------------------------------------------------

  const redraw = () => charts.forEach(chart => { if (chart.drawn) draw(chart, true); });
  function theme(name) {
    document.documentElement.dataset.theme = name;
    document.getElementById("theme").textContent = name === "dark" ? "light" : "dark";
    redraw();
  }
  const prefers = window.matchMedia("(prefers-color-scheme: dark)");
  theme(prefers.matches ? "dark" : "light");
  prefers.addEventListener("change", event => theme(event.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => theme(dark() ? "light" : "dark"));
  // On paper the page is as wide as its figures are drawn, and light.
  let before = null;
  function printed(on) {
    if (on === (before !== null)) return;
    document.documentElement.classList.toggle("printing", on);
    if (on) before = document.documentElement.dataset.theme;
    theme(on ? "light" : before);
    if (on) drawAll(); else before = null;
  }
  window.addEventListener("beforeprint", () => printed(true));
  window.addEventListener("afterprint", () => printed(false));
  // What has not come into view is drawn when there is time, so that who scrolls, prints or keeps the page finds no figure empty.
  const idle = window.requestIdleCallback || (call => setTimeout(call, 200));
  const next = () => {
    const chart = [...charts.values()].find(each => !each.drawn);
    if (chart) idle(() => draw(chart).then(next));
  };
  window.addEventListener("load", () => idle(next));
  let pending = 0;
  window.addEventListener("resize", () => {
    clearTimeout(pending);
    pending = setTimeout(() => charts.forEach(chart => { if (chart.drawn && chart.width !== chart.box.clientWidth) draw(chart, true); }), 150);
  });

  // ---- tables -------------------------------------------------------------------------------------------------------------------

  for (const link of document.querySelectorAll("a[data-choice]")) {
    link.addEventListener("click", async () => {
      const chart = charts.get(link.hash.slice(1));
      if (!chart) return;
      await draw(chart);
      if (chart.box.choose) chart.box.choose(link.dataset.choice);
    });
  }
  for (const button of document.querySelectorAll("button.opens")) {
    button.addEventListener("click", () => {
      const facts = button.closest("tr").nextElementSibling;
      facts.hidden = !facts.hidden;
      button.setAttribute("aria-expanded", String(!facts.hidden));
    });
  }
  for (const table of document.querySelectorAll("table.sortable")) {
    table.querySelectorAll("thead th").forEach((head, place) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("thead th").forEach(each => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0], sign = down ? -1 : 1;
        // The facts of a run stay below it.
        const below = row => row.nextElementSibling && row.nextElementSibling.className === "facts" ? [row, row.nextElementSibling] : [row];
        const key = row => { const cell = row.cells[place]; return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim(); };
        const numbers = head.classList.contains("number");
        const order = [...body.rows].filter(row => row.className !== "facts").map(row => [key(row), row]).sort(([one], [two]) => {
          // What is not there comes last, whichever way it is sorted.
          if (one === "" || two === "") return (one === "") - (two === "");
          return sign * (numbers ? Number(one) - Number(two) : one.localeCompare(two));
        });
        body.append(...order.flatMap(([, row]) => below(row)));
      });
    });
  }
})();
