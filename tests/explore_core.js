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

const theta = flat(given.rule.theta);
const [r, delta] = given.point;
const life = core.lifetime(setting, 3);
const drawn = core.drawEpisode(setting, 0, core.generator(5)).kicks;
console.log(
  JSON.stringify({
    trials,
    integrand: core.integrand(theta, r, delta),
    size: core.integrandSize(theta, given.moments),
    criterion: given.errors.map((list) => core.trialsToCriterion(list, setting)),
    drawn: { W: [...life.network.W], Win: [...life.network.Win], kicks: [...drawn] },
  }),
);
