/* The page "Explore a rule": controls, two networks that learn, and what is said about them.
 *
 * Rules A and B act on copies of one network, with the same kicks. Elements that tests and readers'
 * scripts may rely on, W for a or b:
 *   #explore            data-running is "true" while trials run
 *   #explore-edit-W     radio buttons: which rule the controls of the rule show and change
 *   #theta-K-L          number input of θ_kℓ, K and L from 0 to 5
 *   #explore-preset-…   buttons: zero, theta-3-3, theta-1-1, theta-1-5, learned
 *   #explore-flip, #explore-odd       flip all signs; keep only odd powers
 *   #explore-slider     moves the coefficient whose cell was last entered
 *   #explore-start      starts, pauses and continues; its text says which
 *   #explore-task, #explore-gain, #explore-bound      of both networks
 *   #explore-reset, #explore-new, #explore-network, #explore-size, #explore-speed
 *   #explore-trial-count, and for each rule
 *   #explore-mean-error-W, #explore-criterion-W, #explore-share-W, #explore-cosine-W    "–" if none
 *   #explore-status     role="status": what has just happened
 *   #explore-map, #explore-error, #explore-output-W, #explore-change-W     canvases
 */
"use strict";

(() => {
  const { settings, presets, colours } = EXPLORE_DATA;
  const core = ExploreCore;
  const DEGREE = 5;
  const LARGEST = 100;
  const HORIZON = 400; // trials that one start runs
  const BUDGET = 12; // ms of a frame that may go into trials
  const FIRST = 4; // a network that does not solve the task by luck
  const BOTH = ["a", "b"];
  const byId = (id) => document.getElementById(`explore${id ? "-" + id : ""}`);
  const cells = [];
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const made = (preset) => ({ theta: Float64Array.from(presets[preset]) });
  const page = { a: made("theta-1-5"), b: made("theta-1-1"), edited: "a", chosen: 11, due: 0 };

  const sub = (digit) => "₀₁₂₃₄₅"[digit];
  const name = (p) => `θ${sub(Math.floor(p / (DEGREE + 1)))}${sub(p % (DEGREE + 1))}`;
  const shown = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  const tiny = (value) => value !== 0 && Math.abs(value) < 0.001;
  const narrow = (value) => (tiny(value) ? value.toExponential(0) : String(Number(value.toFixed(3))));
  const size = () => 10 ** Number(byId("size").value);
  const edited = () => page[page.edited];
  const letter = (which) => which.toUpperCase();

  function say(text) {
    byId("status").textContent = text;
  }

  /** The text alternative of a canvas: its title and what it shows now. */
  function describe(id, text) {
    byId(id).setAttribute("aria-label", `${byId(id).textContent}: ${text}.`);
  }

  /** What the rule does at the chosen size and bound. */
  function acting({ theta }) {
    const learningRate = core.learningRate(theta, size(), page.moments);
    return { theta, clip: Number(byId("bound").value), learningRate };
  }

  /* ---- the rule ---- */

  function makeGrid() {
    const powers = [...Array(DEGREE + 1).keys()];
    const head = (text, scope) => {
      const cell = document.createElement("th");
      cell.scope = scope;
      cell.textContent = text;
      return cell;
    };
    const corner = document.createElement("td");
    byId("head").append(corner, ...powers.map((ell) => head(`ℓ=${ell}`, "col")));
    for (const k of powers) {
      const row = document.createElement("tr");
      row.append(head(`k=${k}`, "row"));
      for (const ell of powers) row.append(makeCell(k, ell));
      byId("body").append(row);
    }
  }

  function makeCell(k, ell) {
    const cell = document.createElement("td");
    const input = document.createElement("input");
    const at = cells.push(input) - 1;
    Object.assign(input, { type: "number", step: "0.1", id: `theta-${k}-${ell}`, min: -LARGEST });
    input.max = LARGEST;
    input.setAttribute("aria-label", `theta ${k} ${ell}: r to the power ${k}, Δ to the power ${ell}`);
    input.classList.toggle("explore-odd", Boolean(k % 2 && ell % 2));
    input.addEventListener("focus", () => choose(at));
    input.addEventListener("input", () => setCoefficient(at, input.valueAsNumber));
    input.addEventListener("change", () => showRule());
    cell.append(input);
    return cell;
  }

  function choose(at) {
    page.chosen = at;
    showSlider();
  }

  function setCoefficient(at, value) {
    const bounded = Math.max(-LARGEST, Math.min(LARGEST, value));
    edited().theta[at] = Number.isFinite(bounded) ? bounded : 0;
    showRule(cells[at]);
  }

  function setRule(theta, text) {
    edited().theta = Float64Array.from(theta);
    showRule();
    say(`Rule ${letter(page.edited)}: ${text} It acts from the next trial on.`);
  }

  /** Show the rule everywhere but in the cell that is being written in. */
  function showRule(writing) {
    const { theta } = edited();
    const most = theta.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    cells.forEach((input, at) => {
      if (input !== writing) input.value = narrow(theta[at]);
      const ground = ExploreDraw.colour(theta[at], most, colours);
      Object.assign(input.style, { backgroundColor: ground, color: ExploreDraw.inkOn(ground) });
    });
    showSlider();
    showMap();
    showSize();
  }

  function showSlider() {
    const { theta } = edited();
    cells.forEach((input, at) => input.classList.toggle("explore-chosen", at === page.chosen));
    byId("chosen").textContent = name(page.chosen);
    byId("slider").value = theta[page.chosen];
    byId("slider-value").textContent = shown(theta[page.chosen]);
  }

  function showMap() {
    const { theta, last } = edited();
    const reach = Number(byId("reach").value);
    const pairs = byId("pairs").checked ? core.visitedPairs(last, page.setting) : [];
    const bound = ExploreDraw.map(byId("map"), theta, { reach, pairs, colours });
    const corner = (r, delta) => shown(core.integrand(theta, r, delta));
    const terms = [...theta.keys()].filter((p) => theta[p]).length;
    const row = (r) => [-reach, 0, reach].map((delta) => corner(r, delta)).join(", ");
    describe("map", `rule ${letter(page.edited)}, ${terms} coefficients not zero, largest size \
${shown(bound)}. For Δ = −${reach}, 0 and ${reach}: at rate 1 ${row(1)}; at rate −1 ${row(-1)}`);
  }

  function showSize() {
    const rate = acting(edited()).learningRate;
    byId("size-value").textContent = `${size().toExponential(1)} (η = ${rate.toExponential(1)})`;
  }

  /* ---- the networks ---- */

  /** Both rules at the first trial of the network whose number is shown. */
  function begin(text) {
    stop();
    const seed = Math.max(1, Math.round(byId("network").valueAsNumber) || FIRST);
    byId("network").value = seed;
    page.setting = { ...settings[byId("task").value], gain: Number(byId("gain").value) };
    page.moments = core.firstMoments(page.setting, DEGREE);
    for (const which of BOTH) {
      const life = core.lifetime(page.setting, seed);
      const episode = core.drawEpisode(page.setting, 0, core.generator(2 * seed + 1));
      const last = core.simulate(life.network, episode, page.setting);
      Object.assign(page[which], { life, last, reached: null, shares: [], cosines: [] });
    }
    page.first = core.quietOutputs(page.a.life.network, page.setting);
    page.goal = HORIZON;
    byId("start").textContent = "Start";
    showRun();
    showRule();
    say(text);
  }

  const done = () => Math.max(...BOTH.map((which) => page[which].life.errors.length));
  const alive = () => BOTH.filter((which) => page[which].life.state.alive);

  function stop() {
    if (page.frame) cancelAnimationFrame(page.frame);
    page.frame = null;
    byId("").dataset.running = "false";
  }

  function start() {
    if (!alive().length) {
      say("These networks can go no further: reset them.");
      return;
    }
    if (done() >= page.goal) page.goal += HORIZON;
    Object.assign(page, { clock: null, drawn: -Infinity, due: 0 });
    byId("").dataset.running = "true";
    byId("start").textContent = "Pause";
    say("Learning.");
    page.frame = requestAnimationFrame(advance);
  }

  function pause(text) {
    stop();
    byId("start").textContent = "Continue";
    showRun();
    showMap();
    say(text);
  }

  function advance(now) {
    const passed = Math.min(now - (page.clock ?? now), 200);
    page.clock = now;
    page.due += (passed / 1000) * Number(byId("speed").value) || 0;
    const until = performance.now() + BUDGET;
    const rules = Object.fromEntries(BOTH.map((which) => [which, acting(page[which])]));
    while (page.due >= 1 && performance.now() < until && trials(rules)) page.due -= 1;
    page.due = Math.min(page.due, 1); // what a frame had no time for is let go
    if (!alive().length) {
      pause("No activity is finite any more. Reset, and choose smaller updates.");
    } else if (done() >= page.goal) {
      const end = ({ reached }) => (reached ? `in trial ${reached}` : "not");
      pause(`${done()} trials done. Criterion reached by A ${end(page.a)}, by B ${end(page.b)}.`);
    } else {
      // Fewer, calmer changes where the reader has asked for less motion.
      if (now - page.drawn > (still.matches ? 1000 : 100)) {
        page.drawn = now;
        showRun();
        if (byId("pairs").checked) showMap();
      }
      page.frame = requestAnimationFrame(advance);
    }
  }

  /** One trial of each; whether another may follow. */
  function trials(rules) {
    for (const which of alive()) trial(which, rules[which]);
    if (done() % 100 === 0) say(`${done()} trials: error of A ${meanError("a")}, of B ${meanError("b")}.`);
    return alive().length > 0 && done() < page.goal;
  }

  function trial(which, rule) {
    const { setting } = page;
    const one = page[which];
    const { errors, state } = one.life;
    const downhill = core.quietDescent(state.network, setting);
    one.last = core.nextTrial(one.life, rule, setting);
    one.shares.push(core.shareAtBound(one.last.change, rule.clip));
    one.cosines.push(core.cosine(one.last.change, downhill));
    if (!one.reached && core.trialsToCriterion(errors.slice(-setting.window), setting)) {
      one.reached = errors.length;
      say(`${letter(which)} has reached the criterion in trial ${one.reached}. Learning goes on.`);
    }
  }

  /** Mean of the last ``window`` numbers that are there, written by ``form``; "–" if none is. */
  function recent(numbers, form) {
    const some = numbers.slice(-page.setting.window).filter(Number.isFinite);
    return some.length ? form(some.reduce((a, b) => a + b) / some.length) : "–";
  }

  const meanError = (which) => recent(page[which].life.errors, (v) => v.toFixed(2));

  function showRun() {
    const { setting } = page;
    byId("trial-count").textContent = done();
    const ends = (list) => list.map((z) => shown(z[z.length - 1])).join(", ");
    for (const which of BOTH) {
      const { life, reached, shares, cosines } = page[which];
      const { network, state } = life;
      byId(`mean-error-${which}`).textContent = meanError(which);
      byId(`criterion-${which}`).textContent = reached ?? "–";
      byId(`share-${which}`).textContent = recent(shares, (v) => `${(100 * v).toFixed(0)}%`);
      byId(`cosine-${which}`).textContent = recent(cosines, (v) => shown(Number(v.toFixed(3))));
      const now = core.quietOutputs(state.network, setting);
      ExploreDraw.outputs(byId(`output-${which}`), { now, before: page.first, setting });
      describe(`output-${which}`, `at the end of a trial, by condition: before learning \
${ends(page.first)}; now ${ends(now)}; targets ${ends(setting.targets)}`);
      const { W } = state.network;
      const bound = ExploreDraw.change(byId(`change-${which}`), W, network.W, setting.units, colours);
      describe(`change-${which}`, `at most ${shown(bound)}`);
    }
    const curves = BOTH.map((which) => ({ errors: page[which].life.errors, reached: page[which].reached }));
    ExploreDraw.errors(byId("error"), { curves, setting });
    describe("error", `${done()} trials; mean of the last, rule A ${meanError("a")}, rule B ${meanError("b")}`);
  }

  /* ---- wiring ---- */

  function listen(id, event, action) {
    byId(id).addEventListener(event, action);
  }

  makeGrid();
  byId("size").value = Math.log10(EXPLORE_DATA.size);
  byId("network").value = FIRST;
  for (const [preset, theta] of Object.entries(presets)) {
    const button = byId(`preset-${preset}`);
    button.addEventListener("click", () => setRule(theta, `${button.textContent}.`));
  }
  for (const which of BOTH) {
    listen(`edit-${which}`, "change", () => {
      page.edited = which;
      showRule();
    });
  }
  listen("flip", "click", () => setRule(edited().theta.map((v) => -v || 0), "all signs flipped."));
  listen("odd", "click", () => {
    const odd = (p) => Math.floor(p / (DEGREE + 1)) % 2 && p % (DEGREE + 1) % 2;
    setRule(edited().theta.map((v, p) => (odd(p) ? v : 0)), "only odd powers kept.");
  });
  listen("slider", "input", () => setCoefficient(page.chosen, byId("slider").valueAsNumber));
  listen("slider", "change", () => showRule());
  listen("reach", "change", showMap);
  listen("pairs", "change", showMap);
  listen("size", "input", showSize);
  listen("network", "change", () => begin("Another network. Press Start."));
  listen("task", "change", () => begin("Another task. Press Start."));
  listen("gain", "change", () => begin("Another gain. Press Start."));
  listen("start", "click", () => (page.frame ? pause("Paused.") : start()));
  listen("reset", "click", () => begin("Back to the first trial. Press Start."));
  listen("new", "click", () => {
    byId("network").value = (byId("network").valueAsNumber || 0) + 1;
    begin("A new network. Press Start.");
  });

  const redraw = () => {
    showMap();
    if (!page.frame) showRun();
  };
  window.addEventListener("resize", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  begin("Press Start.");
})();
