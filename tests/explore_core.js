// Runs book/static/explore/core.js on the cases that come in as JSON: {setting, rule, ...}.
"use strict";
const core = require("../book/static/explore/core.js");
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));

const flat = (a) => Float64Array.from(a.flat(Infinity));
const { setting } = given;
const network = { W: flat(given.W), Win: flat(given.Win), Wout: flat(given.Wout) };
const state = core.learner(network, setting);
const trials = given.episodes.map(({ condition, kicks, state: x }) => {
  const episode = { condition, kicks: flat(kicks), state: flat(x) };
  const rule = { ...given.rule, theta: flat(given.rule.theta) };
  const { output, trace, error } = core.learnTrial(state, episode, rule, setting);
  return { output: [...output], trace: [...trace], error, W: [...state.network.W] };
});

/** The trial in which network ``number`` reaches criterion by a rule, or null. */
function reached({ setting: place, moments, size, presets }, number, preset, sign) {
  const rule = { theta: flat(presets[preset]).map((v) => sign * v), clip: place.clip };
  rule.learningRate = core.learningRate(rule.theta, size, moments);
  const one = core.lifetime(place, number);
  for (let h = 0; h < 400; h++) core.nextTrial(one, rule, place);
  return core.trialsToCriterion(one.errors, place);
}

const theta = flat(given.rule.theta);
const [r, delta] = given.point;
const life = core.lifetime(setting, 3);
const drawn = core.drawEpisode(setting, 0, core.generator(5)).kicks;
console.log(
  JSON.stringify({
    trials,
    integrand: core.integrand(theta, r, delta),
    size: core.integrandSize(theta, given.written.moments),
    criterion: given.errors.map((list) => core.trialsToCriterion(list, setting)),
    reached: given.lifetimes.map((life) => reached(given.written, ...life)),
    drawn: { W: [...life.network.W], Win: [...life.network.Win], kicks: [...drawn] },
  }),
);
