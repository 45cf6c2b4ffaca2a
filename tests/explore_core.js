// Runs book/static/explore/core.js on the cases that come in as JSON: {setting, rule, ...}.
"use strict";
const core = require("../book/static/explore/core.js");
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));

const flat = (a) => Float64Array.from(a.flat(Infinity));
const { setting } = given;
const network = { W: flat(given.W), Win: flat(given.Win), Wout: flat(given.Wout) };
const state = core.learner(network, setting);
const trials = given.episodes.map(({ condition, kicks, state: x, inputs }) => {
  const episode = { condition, kicks: flat(kicks), state: flat(x), inputs: flat(inputs) };
  const rule = { ...given.rule, theta: flat(given.rule.theta) };
  const descent = [...core.descent(state.network, episode, setting)];
  const { output, trace, error, change } = core.learnTrial(state, episode, rule, setting);
  const share = core.shareAtBound(change, rule.clip);
  return { output: [...output], trace: [...trace], error, W: [...state.network.W], descent, share };
});

/** The trial in which network ``number`` reaches criterion by a rule, or null. */
function reached({ settings, size, presets }, number, preset, sign) {
  const place = settings.delayed_association;
  const moments = core.firstMoments(place, 5);
  const rule = { theta: flat(presets[preset]).map((v) => sign * v), clip: place.clip };
  rule.learningRate = core.learningRate(rule.theta, size, moments);
  const one = core.lifetime(place, number);
  for (let h = 0; h < 400; h++) core.nextTrial(one, rule, place);
  return core.trialsToCriterion(one.errors, place);
}

const theta = flat(given.rule.theta);
const [r, delta] = given.point;
const life = core.lifetime(setting, 3);
const drawn = core.drawEpisode(setting, 0, core.generator(5));
const run = core.simulate(life.network, drawn, setting);
const quiet = [0, 1].map((c) => core.descent(life.network, core.quietEpisode(setting, c), setting));
console.log(
  JSON.stringify({
    trials,
    integrand: core.integrand(theta, r, delta),
    size: core.integrandSize(theta, given.moments),
    moments: core.activityMoments([run, run], 5, setting.units),
    run: { rates: [...run.rates], fluctuations: [...run.fluctuations] },
    first: core.firstMoments(given.written.settings.delayed_association, 5),
    quiet: [...core.quietDescent(life.network, setting)].map((v, s) => [v, quiet[0][s], quiet[1][s]]),
    cosine: core.cosine(flat(given.point), flat([given.point[1], given.point[0]])),
    criterion: given.errors.map((list) => core.trialsToCriterion(list, setting)),
    reached: given.lifetimes.map((life) => reached(given.written, ...life)),
    drawn: { W: [...life.network.W], Win: [...life.network.Win], kicks: [...drawn.kicks], inputs: [...drawn.inputs] },
  }),
);
