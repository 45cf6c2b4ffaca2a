/* The page "Explore a rule": controls, the running network, and what is said about both.
 *
 * Elements that tests and readers' scripts may rely on:
 *   #explore            data-running is "true" while trials run
 *   #theta-K-L          number input of θ_kℓ, K and L from 0 to 5
 *   #explore-preset-…   buttons: zero, theta-3-3, theta-1-1, theta-1-5, learned
 *   #explore-flip, #explore-odd       flip all signs; keep only odd powers
 *   #explore-slider     moves the coefficient whose cell was last entered
 *   #explore-start      starts, pauses and continues; its text says which
 *   #explore-reset, #explore-new, #explore-network, #explore-size, #explore-speed
 *   #explore-trial-count, #explore-mean-error, #explore-criterion     results, "–" if none
 *   #explore-status     role="status": what has just happened
 *   #explore-map, #explore-error, #explore-output, #explore-change    canvases
 */
"use strict";

(() => {
  const { setting, moments, presets, colours } = EXPLORE_DATA;
  const core = ExploreCore;
  const DEGREE = 5;
  const LARGEST = 100;
  const HORIZON = 400; // trials that one start runs
  const BUDGET = 12; // ms of a frame that may go into trials
  const FIRST = 4; // a network that does not solve the task by luck
  const byId = (id) => document.getElementById(`explore${id ? "-" + id : ""}`);
  const cells = [];
  const still = window.matchMedia("(prefers-reduced-motion: reduce)");
  const page = { theta: Float64Array.from(presets["theta-1-5"]), chosen: 11, before: [], due: 0 };

  const sub = (digit) => "₀₁₂₃₄₅"[digit];
  const name = (p) => `θ${sub(Math.floor(p / (DEGREE + 1)))}${sub(p % (DEGREE + 1))}`;
  const shown = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  const tiny = (value) => value !== 0 && Math.abs(value) < 0.001;
  const narrow = (value) => (tiny(value) ? value.toExponential(0) : String(Number(value.toFixed(3))));
  const size = () => 10 ** Number(byId("size").value);

  function say(text) {
    byId("status").textContent = text;
  }

  /** The text alternative of a canvas: its title and what it shows now. */
  function describe(id, text) {
    byId(id).setAttribute("aria-label", `${byId(id).textContent}: ${text}.`);
  }

  function rule() {
    const rate = core.learningRate(page.theta, size(), moments);
    return { theta: page.theta, clip: setting.clip, learningRate: rate };
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
    page.theta[at] = Number.isFinite(bounded) ? bounded : 0;
    showRule(cells[at]);
  }

  function setRule(theta, text) {
    page.theta = Float64Array.from(theta);
    showRule();
    say(`${text} It acts from the next trial on.`);
  }

  /** Show the rule everywhere but in the cell that is being written in. */
  function showRule(writing) {
    const most = page.theta.reduce((m, v) => Math.max(m, Math.abs(v)), 0);
    cells.forEach((input, at) => {
      const value = page.theta[at];
      if (input !== writing) input.value = narrow(value);
      const ground = ExploreDraw.colour(value, most, colours);
      Object.assign(input.style, { backgroundColor: ground, color: ExploreDraw.inkOn(ground) });
    });
    showSlider();
    showMap();
    showSize();
  }

  function showSlider() {
    cells.forEach((input, at) => input.classList.toggle("explore-chosen", at === page.chosen));
    byId("chosen").textContent = name(page.chosen);
    byId("slider").value = page.theta[page.chosen];
    byId("slider-value").textContent = shown(page.theta[page.chosen]);
  }

  function showMap() {
    const reach = Number(byId("reach").value);
    const pairs = byId("pairs").checked ? core.visitedPairs(page.last, setting) : [];
    const bound = ExploreDraw.map(byId("map"), page.theta, { reach, pairs, colours });
    const corner = (r, delta) => shown(core.integrand(page.theta, r, delta));
    const terms = [...page.theta.keys()].filter((p) => page.theta[p]).length;
    const row = (r) => [-reach, 0, reach].map((delta) => corner(r, delta)).join(", ");
    describe("map", `${terms} coefficients not zero, largest size ${shown(bound)}. For Δ = −${reach}, 0 \
and ${reach}: at rate 1 ${row(1)}; at rate −1 ${row(-1)}`);
  }

  function showSize() {
    const rate = rule().learningRate;
    byId("size-value").textContent = `${size().toExponential(1)} (η = ${rate.toExponential(1)})`;
  }

  /* ---- the network ---- */

  function begin(text) {
    stop();
    if (page.life && page.life.errors.length) page.before = page.life.errors;
    const seed = Math.max(1, Math.round(byId("network").valueAsNumber) || FIRST);
    byId("network").value = seed;
    page.life = core.lifetime(setting, seed);
    page.first = core.quietOutputs(page.life.network, setting);
    const episode = core.drawEpisode(setting, 0, core.generator(2 * seed + 1));
    page.last = core.simulate(page.life.network, episode, setting);
    Object.assign(page, { reached: null, goal: HORIZON });
    byId("start").textContent = "Start";
    showRun();
    showMap();
    say(text);
  }

  function another(text) {
    Object.assign(page, { before: [], life: null });
    begin(text);
  }

  function stop() {
    if (page.frame) cancelAnimationFrame(page.frame);
    page.frame = null;
    byId("").dataset.running = "false";
  }

  function start() {
    const { state, errors } = page.life;
    if (!state.alive) {
      say("This network can go no further: reset it.");
      return;
    }
    if (errors.length >= page.goal) page.goal += HORIZON;
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
    const present = rule();
    while (page.due >= 1 && performance.now() < until && trial(present)) page.due -= 1;
    page.due = Math.min(page.due, 1); // what a frame had no time for is let go
    const { errors, state } = page.life;
    if (!state.alive) {
      pause("The activity is no longer finite. Reset, and lower the learning rate.");
    } else if (errors.length >= page.goal) {
      const end = page.reached ? `criterion reached in trial ${page.reached}` : "criterion not reached";
      pause(`${errors.length} trials done, ${end}.`);
    } else {
      // Fewer, calmer changes where the reader has asked for less motion.
      if (now - page.drawn > (still.matches ? 1000 : 50)) {
        page.drawn = now;
        showRun();
        if (byId("pairs").checked) showMap();
      }
      page.frame = requestAnimationFrame(advance);
    }
  }

  /** One trial; whether another may follow. */
  function trial(present) {
    page.last = core.nextTrial(page.life, present, setting);
    const { errors, state } = page.life;
    if (!page.reached && core.trialsToCriterion(errors.slice(-setting.window), setting)) {
      page.reached = errors.length;
      say(`Criterion reached in trial ${page.reached}. Learning goes on.`);
    } else if (errors.length % 100 === 0) {
      say(`${errors.length} trials, mean error of the last ${meanError()}.`);
    }
    return state.alive && errors.length < page.goal;
  }

  function meanError() {
    const recent = page.life.errors.slice(-setting.window);
    return recent.length ? (recent.reduce((a, b) => a + b) / recent.length).toFixed(2) : "–";
  }

  function showRun() {
    const { errors, network, state } = page.life;
    byId("trial-count").textContent = errors.length;
    byId("mean-error").textContent = meanError();
    byId("criterion").textContent = page.reached ?? "–";
    const { before, reached } = page;
    ExploreDraw.errors(byId("error"), { now: errors, before, setting, reached });
    const now = core.quietOutputs(state.network, setting);
    ExploreDraw.outputs(byId("output"), { now, before: page.first, setting });
    const { units } = setting;
    const bound = ExploreDraw.change(byId("change"), state.network.W, network.W, units, colours);
    const end = (z) => shown(z[z.length - 1]);
    const both = (list) => list.map(end).join(" and ");
    const done = reached ? `reached in trial ${reached}` : "not reached";
    describe("error", `${errors.length} trials, mean of the last ${meanError()}, criterion ${done}`);
    describe("output", `at the end of a trial, first and second cue: before learning ${both(page.first)}, \
now ${both(now)}; targets ${both(setting.targets)}`);
    describe("change", `at most ${shown(bound)}`);
  }

  /* ---- wiring ---- */

  function listen(id, event, action) {
    byId(id).addEventListener(event, action);
  }

  makeGrid();
  byId("size").value = Math.log10(EXPLORE_DATA.size);
  byId("network").value = FIRST;
  byId("window").textContent = `Mean error of the last ${setting.window}`;
  for (const [preset, theta] of Object.entries(presets)) {
    const button = byId(`preset-${preset}`);
    button.addEventListener("click", () => setRule(theta, `Rule: ${button.textContent}.`));
  }
  listen("flip", "click", () => setRule(page.theta.map((v) => -v || 0), "All signs flipped."));
  listen("odd", "click", () => {
    const odd = (p) => Math.floor(p / (DEGREE + 1)) % 2 && p % (DEGREE + 1) % 2;
    setRule(page.theta.map((v, p) => (odd(p) ? v : 0)), "Only odd powers kept.");
  });
  listen("slider", "input", () => setCoefficient(page.chosen, byId("slider").valueAsNumber));
  listen("slider", "change", () => showRule());
  listen("reach", "change", showMap);
  listen("pairs", "change", showMap);
  listen("size", "input", showSize);
  listen("network", "change", () => another("Another network. Press Start."));
  listen("start", "click", () => (page.frame ? pause("Paused.") : start()));
  listen("reset", "click", () => begin("Back to the first trial. Press Start."));
  listen("new", "click", () => {
    byId("network").value = (byId("network").valueAsNumber || 0) + 1;
    another("A new network. Press Start.");
  });

  const redraw = () => {
    showMap();
    if (!page.frame) showRun();
  };
  window.addEventListener("resize", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  begin("Press Start.");
  showRule();
})();
