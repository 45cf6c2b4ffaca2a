/* Drawings of the page "Explore a rule", each on a canvas that fills the width it is given. */
"use strict";

const ExploreDraw = (() => {
  const SIGNS = { above: "#0072B2", below: "#D55E00" }; // Okabe and Ito's palette, as in the figures
  const RULES = ["#00795A", "#A8478F"]; // darker kin of that palette, against light and dark grounds
  const GAP = { left: 46, right: 12, top: 10, bottom: 36 };

  /** A context in CSS pixels, cleared, with the plotting area and the page's text colour. */
  function prepare(canvas, gap = GAP) {
    const width = canvas.clientWidth;
    const height = canvas.clientHeight;
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const ink = getComputedStyle(canvas).color;
    context.strokeStyle = context.fillStyle = ink;
    context.font = "12px sans-serif";
    const area = { x: gap.left, y: gap.top };
    area.width = width - gap.left - gap.right;
    area.height = height - gap.top - gap.bottom;
    return { context, area, ink };
  }

  /** Frame, ticks and labels; returns the maps from data to pixels. */
  function axes({ context, area }, { x, y, xLabel, yLabel }) {
    const toX = (v) => area.x + ((v - x[0]) / (x[1] - x[0])) * area.width;
    const toY = (v) => area.y + area.height - ((v - y[0]) / (y[1] - y[0])) * area.height;
    context.lineWidth = 1;
    context.strokeRect(area.x, area.y, area.width, area.height);
    context.textBaseline = "top";
    context.textAlign = "center";
    for (const tick of ticks(x)) context.fillText(label(tick), toX(tick), area.y + area.height + 4);
    context.fillText(xLabel, area.x + area.width / 2, area.y + area.height + 20);
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of ticks(y)) context.fillText(label(tick), area.x - 5, toY(tick));
    context.save();
    context.translate(9, area.y + area.height / 2);
    context.rotate(-Math.PI / 2);
    context.textAlign = "center";
    context.fillText(yLabel, 0, 0);
    context.restore();
    return { toX, toY };
  }

  function ticks([low, high]) {
    const rough = (high - low) / 4;
    const unit = 10 ** Math.floor(Math.log10(rough));
    const step = unit * [1, 2, 5, 10].find((m) => m * unit >= rough * 0.999);
    const first = Math.ceil(low / step - 1e-9);
    const count = Math.floor(high / step + 1e-9) - first + 1;
    return Array.from({ length: count }, (_, i) => (first + i) * step);
  }

  const label = (v) => String(Number(v.toPrecision(3))).replace("-", "−");

  function line(context, points, { colour, dash = [], width = 1.8 }) {
    context.save();
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach(([x, y]) => context.lineTo(x, y));
    context.stroke();
    context.restore();
  }

  function clip(context, area) {
    context.save();
    context.beginPath();
    context.rect(area.x, area.y, area.width, area.height);
    context.clip();
  }

  /** The colour of a value between −bound and bound. */
  function colour(value, bound, colours) {
    const place = bound > 0 ? (value / bound + 1) / 2 : 0.5;
    const index = Math.min(colours.length - 1, Math.floor(place * colours.length));
    return colours[Math.max(0, index)];
  }

  /** Black or white, whichever is read more easily on a colour (relative luminance of WCAG 2). */
  function inkOn(ground) {
    const code = parseInt(ground.slice(1), 16);
    const parts = [code >> 16, (code >> 8) & 255, code & 255].map((part) => {
      const c = part / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    const luminance = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
    return luminance > 0.179 ? "#000000" : "#ffffff";
  }

  /** An image of rows × columns values in the book's diverging colours, first row at the top. */
  function image(context, area, values, columns, bound, colours) {
    const rows = values.length / columns;
    const small = document.createElement("canvas");
    small.width = columns;
    small.height = rows;
    const pixels = new ImageData(columns, rows);
    values.forEach((value, at) => {
      const code = parseInt(colour(value, bound, colours).slice(1), 16);
      pixels.data.set([code >> 16, (code >> 8) & 255, code & 255, 255], 4 * at);
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    context.save();
    context.imageSmoothingEnabled = false;
    context.drawImage(small, area.x, area.y, area.width, area.height);
    context.restore();
  }

  function colourBar({ context, area }, bound, colours) {
    const bar = { x: area.x + area.width + 12, y: area.y, width: 12, height: area.height };
    const values = Array.from({ length: 128 }, (_, i) => 1 - (2 * (i + 0.5)) / 128);
    image(context, bar, values, 1, 1, colours);
    context.strokeRect(bar.x, bar.y, bar.width, bar.height);
    context.textAlign = "left";
    context.textBaseline = "middle";
    [bound, 0, -bound].forEach((v, i) => {
      const sign = v > 0 ? "+" : "";
      const y = bar.y + (i / 2) * bar.height + [6, 0, -6][i];
      if (i === 1 || bound > 0) context.fillText(sign + label(v), bar.x + bar.width + 4, y);
    });
  }

  /** H over r (across) and Δ (up), with pairs (r, Δ) as dots; returns the largest |H|. */
  function map(canvas, theta, { reach, pairs, colours }) {
    const drawn = prepare(canvas, { ...GAP, right: 72 });
    const { context, area, ink } = drawn;
    const side = 81;
    const at = (i) => (2 * i) / (side - 1) - 1;
    const values = Float64Array.from({ length: side * side }, (_, p) => {
      return ExploreCore.integrand(theta, at(p % side), -reach * at(Math.floor(p / side)));
    });
    const bound = values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    image(context, area, values, side, bound, colours);
    const scale = { x: [-1, 1], y: [-reach, reach] };
    const { toX, toY } = axes(drawn, { ...scale, xLabel: "rate r", yLabel: "fluctuation Δ = x̄ − x" });
    clip(context, area);
    context.fillStyle = "#000000";
    context.globalAlpha = 0.55;
    for (const [r, delta] of pairs) context.fillRect(toX(r) - 1, toY(delta) - 1, 2, 2);
    context.restore();
    context.fillStyle = ink;
    colourBar(drawn, bound, colours);
    return bound;
  }

  /** Mean of the last ``window`` errors after each trial. */
  function running(errors, window) {
    let sum = 0;
    return errors.map((error, h) => {
      sum += error - (h >= window ? errors[h - window] : 0);
      return sum / Math.min(h + 1, window);
    });
  }

  /** Errors of all trials, their running means, and the criteria: of rule A (solid), B (dashed). */
  function errors(canvas, { curves, setting }) {
    const drawn = prepare(canvas);
    const { context, area, ink } = drawn;
    const longest = Math.max(...curves.map((curve) => curve.errors.length));
    const span = Math.max(100, 100 * Math.ceil(longest / 100));
    const scale = { x: [0, span], y: [0, 2], xLabel: "trial", yLabel: "error" };
    const { toX, toY } = axes(drawn, scale);
    clip(context, area);
    const limit = toY(setting.correctBelow);
    line(context, [[area.x, limit], [area.x + area.width, limit]], { colour: ink, width: 1, dash: [2, 3] });
    curves.forEach((curve, at) => {
      context.fillStyle = RULES[at];
      context.globalAlpha = 0.35;
      curve.errors.forEach((error, h) => context.fillRect(toX(h + 1) - 1, toY(error) - 1, 2, 2));
    });
    context.globalAlpha = 1;
    curves.forEach(({ errors: list, reached }, at) => {
      const look = { colour: RULES[at], dash: at ? [7, 4] : [] };
      const means = running(list, setting.window).map((e, h) => [toX(h + 1), toY(e)]);
      line(context, means, { ...look, width: 2.4 });
      if (reached) {
        const x = toX(reached);
        line(context, [[x, area.y], [x, area.y + area.height]], { ...look, width: 1.5 });
      }
    });
    context.restore();
  }

  /** Output in each condition against time: before learning (dashed) and now, without kicks. */
  function outputs(canvas, { now, before, setting }) {
    const drawn = prepare(canvas);
    const { context, area } = drawn;
    const total = setting.steps * setting.dt;
    const options = { x: [0, total], y: [-2, 2], xLabel: "time (ms)", yLabel: "output z" };
    const { toX, toY } = axes(drawn, options);
    clip(context, area);
    const first = setting.response.indexOf(true);
    const last = setting.response.lastIndexOf(true) + 1;
    context.fillStyle = "rgba(230, 159, 0, 0.2)";
    const [left, right] = [toX(first * setting.dt), toX(last * setting.dt)];
    context.fillRect(left, area.y, right - left, area.height);
    setting.targets.forEach((target, c) => {
      const goal = toY(target[first]);
      const colour = target[first] > 0 ? SIGNS.above : SIGNS.below;
      line(context, [[left, goal], [right, goal]], { colour, width: 5 });
      const curve = (z) => Array.from(z, (v, t) => [toX((t + 1) * setting.dt), toY(v)]);
      line(context, curve(before[c]), { colour, width: 1.2, dash: [5, 4] });
      line(context, curve(now[c]), { colour });
    });
    context.restore();
  }

  /** W − W_0, postsynaptic unit down, presynaptic unit across; returns the largest change. */
  function change(canvas, W, initial, units, colours) {
    const drawn = prepare(canvas, { ...GAP, right: 72 });
    const difference = W.map((w, s) => w - initial[s]);
    const bound = difference.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
    image(drawn.context, drawn.area, difference, units, bound, colours);
    axes(drawn, { x: [0, units], y: [units, 0], xLabel: "from unit j", yLabel: "to unit i" });
    colourBar(drawn, bound, colours);
    return bound;
  }

  return { change, colour, errors, inkOn, map, outputs };
})();
