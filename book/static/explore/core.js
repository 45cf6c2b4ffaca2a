/* One trial of learning, as plasticity.learning.learn_trial defines it; the equations stand in
 * plasticity/model/network.py, rules/trace.py and rules/three_factor.py; tests/book/test_explore.py compares the two.
 *
 * No DOM: a page and Node both load this file. Matrices are flat Float64Arrays, row by row; θ_kℓ is
 * theta[k * 6 + ℓ] for degree 5. A setting is what book/explore_data.py writes.
 */
"use strict";

const ExploreCore = (() => {
  /** Uniform numbers in [0, 1) from a 32-bit seed (mulberry32). */
  function generator(seed) {
    let a = seed >>> 0;
    return () => {
      a = (a + 0x6d2b79f5) >>> 0;
      let t = Math.imul(a ^ (a >>> 15), 1 | a);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function normal(uniform) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
    return radius * Math.cos(2 * Math.PI * uniform());
  }

  /** W ~ N(0, g²/N), W_in ~ U(−1, 1), W_out ~ N(0, 1/N). */
  function randomNetwork(setting, uniform) {
    const n = setting.units;
    const scale = 1 / Math.sqrt(n);
    return {
      W: Float64Array.from({ length: n * n }, () => setting.gain * scale * normal(uniform)),
      Win: Float64Array.from({ length: n * setting.channels }, () => 2 * uniform() - 1),
      Wout: Float64Array.from({ length: n }, () => scale * normal(uniform)),
    };
  }

  /** Kicks (T, N), the initial x (N,) and inputs (T, I) of one trial. */
  function drawEpisode(setting, condition, uniform) {
    const { units, steps, kickProbability: p, kickAmplitude: size } = setting;
    const draw = () => (uniform() < p ? size * (2 * uniform() - 1) : 0);
    const kicks = Float64Array.from({ length: steps * units }, draw);
    const start = () => setting.initialState * (2 * uniform() - 1);
    const state = Float64Array.from({ length: units }, start);
    const noise = setting.noise.flat();
    const mean = setting.inputs[condition].flat();
    const inputs = Float64Array.from(mean, (u, at) => (noise[at] ? u + noise[at] * normal(uniform) : u));
    return { condition, kicks, state, inputs };
  }

  /** A trial from silence, without kicks or noise. */
  function quietEpisode(setting, condition) {
    const { units, steps } = setting;
    const inputs = Float64Array.from(setting.inputs[condition].flat());
    return { condition, kicks: new Float64Array(steps * units), state: new Float64Array(units), inputs };
  }

  /** Rates r_t and fluctuations Δ_t (T, N), output z_t (T,), last rates (N,); x̄ starts from x. */
  function simulate(network, episode, setting) {
    const { units: n, steps, channels, dt, tau, filterGain } = setting;
    const { inputs } = episode;
    const step = dt / tau;
    const x = Float64Array.from(episode.state);
    const filtered = Float64Array.from(x);
    const r = x.map(Math.tanh);
    const rates = new Float64Array(steps * n);
    const fluctuations = new Float64Array(steps * n);
    const output = new Float64Array(steps);
    for (let t = 0; t < steps; t++) {
      rates.set(r, t * n);
      for (let i = 0; i < n; i++) {
        let sum = -x[i];
        for (let j = 0, at = i * n; j < n; j++) sum += network.W[at + j] * r[j];
        for (let c = 0; c < channels; c++) sum += network.Win[i * channels + c] * inputs[t * channels + c];
        x[i] += step * sum + episode.kicks[t * n + i];
      }
      for (let i = 0; i < n; i++) {
        const shift = filtered[i] - x[i];
        fluctuations[t * n + i] = shift;
        filtered[i] -= filterGain * shift;
        r[i] = Math.tanh(x[i]);
        output[t] += network.Wout[i] * r[i];
      }
    }
    return { rates, fluctuations, output, last: r };
  }

  /** λ_t = dt (1 − dt/τ_e)^(T−1−t), ms. */
  function decayWeights({ steps, dt, tauE }) {
    return Float64Array.from({ length: steps }, (_, t) => dt * (1 - dt / tauE) ** (steps - 1 - t));
  }

  const degreeOf = (theta) => Math.round(Math.sqrt(theta.length)) - 1;

  /** p_ℓ(r) = Σ_k θ_kℓ r^k for every ℓ. */
  function polynomials(theta, r) {
    const size = degreeOf(theta) + 1;
    const values = new Float64Array(size);
    for (let k = size - 1; k >= 0; k--) {
      for (let ell = 0; ell < size; ell++) values[ell] = values[ell] * r + theta[k * size + ell];
    }
    return values;
  }

  /** H(r, Δ) = Σ θ_kℓ r^k Δ^ℓ. */
  function integrand(theta, r, delta) {
    return polynomials(theta, r).reduceRight((sum, p) => sum * delta + p, 0);
  }

  /** The powers ℓ that some coefficient uses. */
  function activePowers(theta) {
    const size = degreeOf(theta) + 1;
    const all = [...Array(size).keys()];
    return all.filter((ell) => all.some((k) => theta[k * size + ell] !== 0));
  }

  /** e_ij = Σ_t λ_t Σ_kℓ θ_kℓ r_j^k Δ_i^ℓ, (N postsynaptic, N presynaptic). */
  function eligibilityTrace(rates, fluctuations, theta, setting) {
    const { units: n, steps } = setting;
    const e = new Float64Array(n * n);
    const powers = activePowers(theta);
    const lambda = decayWeights(setting);
    const columns = powers.map(() => new Float64Array(n));
    for (let t = 0; t < steps && powers.length; t++) {
      for (let j = 0; j < n; j++) {
        const values = polynomials(theta, rates[t * n + j]);
        powers.forEach((ell, at) => (columns[at][j] = lambda[t] * values[ell]));
      }
      for (let i = 0; i < n; i++) {
        for (let at = 0; at < powers.length; at++) {
          const post = fluctuations[t * n + i] ** powers[at];
          const column = columns[at];
          for (let j = 0, row = i * n; j < n; j++) e[row + j] += post * column[j];
        }
      }
    }
    return e;
  }

  const judged = (setting) => setting.response.filter(Boolean).length;

  /** Mean |z − z*| over the response window. */
  function trialError(output, condition, setting) {
    let sum = 0;
    setting.response.forEach((inside, t) => {
      if (inside) sum += Math.abs(output[t] - setting.targets[condition][t]);
    });
    return sum / judged(setting);
  }

  /** −∂error/∂W of one trial, by backpropagation through its steps, (N postsynaptic, N presynaptic). */
  function descent(network, episode, setting) {
    const { units: n, steps, dt, tau } = setting;
    const step = dt / tau;
    const { rates, output, last } = simulate(network, episode, setting);
    const down = new Float64Array(n * n);
    let back = new Float64Array(n); // −∂error/∂x after step t
    for (let t = steps - 1; t >= 0; t--) {
      const gap = output[t] - setting.targets[episode.condition][t];
      const pull = setting.response[t] ? -Math.sign(gap) / judged(setting) : 0;
      const felt = new Float64Array(n);
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * n; j < n; j++) felt[j] += network.W[at + j] * back[i];
      }
      back = back.map((b, j) => {
        const r = t + 1 < steps ? rates[(t + 1) * n + j] : last[j];
        return (1 - step) * b + (1 - r * r) * (step * felt[j] + pull * network.Wout[j]);
      });
      for (let i = 0; i < n; i++) {
        for (let j = 0, at = i * n; j < n; j++) down[at + j] += step * back[i] * rates[t * n + j];
      }
    }
    return down;
  }

  /** The mean of `descent` over conditions, in quiet trials. */
  function quietDescent(network, setting) {
    const sum = new Float64Array(setting.units ** 2);
    setting.targets.forEach((_, condition) => {
      const one = descent(network, quietEpisode(setting, condition), setting);
      one.forEach((v, s) => (sum[s] += v / setting.targets.length));
    });
    return sum;
  }

  /** Cosine of the angle between two arrays; NaN if one is zero. */
  function cosine(a, b) {
    const dot = (x, y) => x.reduce((sum, v, at) => sum + v * y[at], 0);
    return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
  }

  /** What one trial hands to the next: the network with its own W, R̄ of each condition, count. */
  function learner(network, setting) {
    return {
      network: { ...network, W: Float64Array.from(network.W) },
      baseline: setting.targets.map(() => setting.initialBaseline),
      trial: 0,
      alive: true,
    };
  }

  /** W ← W + clip(η e (R − R̄), ±c), then R̄ ← R̄ + a (R − R̄); changes ``state``. */
  function learnTrial(state, episode, rule, setting) {
    const run = simulate(state.network, episode, setting);
    const trace = eligibilityTrace(run.rates, run.fluctuations, rule.theta, setting);
    const error = trialError(run.output, episode.condition, setting);
    const surprise = -error - state.baseline[episode.condition];
    const change = trace.map((e) => {
      return Math.min(rule.clip, Math.max(-rule.clip, rule.learningRate * surprise * e));
    });
    const W = state.network.W.map((w, s) => w + change[s]);
    state.alive = state.alive && Number.isFinite(error) && W.every(Number.isFinite);
    if (state.alive) state.network.W = W;
    state.baseline[episode.condition] += setting.baselineRate * surprise;
    state.trial += 1;
    return { ...run, trace, error, change };
  }

  /** Network number ``seed``, before its first trial; the same seed gives the same network and kicks. */
  function lifetime(setting, seed) {
    const network = randomNetwork(setting, generator(2 * seed));
    const state = learner(network, setting);
    return { network, state, uniform: generator(2 * seed + 1), errors: [] };
  }

  /** The next trial of a lifetime; conditions cycle. */
  function nextTrial(life, rule, setting) {
    const condition = life.state.trial % setting.targets.length;
    const episode = drawEpisode(setting, condition, life.uniform);
    const outcome = learnTrial(life.state, episode, rule, setting);
    life.errors.push(outcome.error);
    return outcome;
  }

  /** Outputs in all conditions without kicks, from silence. */
  function quietOutputs(network, setting) {
    return setting.targets.map((_, condition) => {
      return simulate(network, quietEpisode(setting, condition), setting).output;
    });
  }

  /** Share of the changes that are at the bound. */
  function shareAtBound(change, bound) {
    return change.reduce((sum, v) => sum + (Math.abs(v) >= bound), 0) / change.length;
  }

  /** A quarter as many pairs (r_j, Δ_i) of a trial as it has steps and units. */
  function visitedPairs({ rates, fluctuations }, { units }) {
    return Array.from({ length: Math.floor(rates.length / 4) }, (_, p) => {
      const t = Math.floor((4 * p) / units);
      return [rates[t * units + ((28 * p + 3 * t) % units)], fluctuations[4 * p]];
    });
  }

  /** Means of r_j^p Δ_i^q over synapses and steps, p, q ≤ 2d: companion.tuning.activity_moments. */
  function activityMoments(runs, degree, units) {
    const powers = [...Array(2 * degree + 1).keys()];
    const moments = powers.map(() => powers.map(() => 0));
    let count = 0;
    for (const { rates, fluctuations } of runs) {
      for (let at = 0; at < rates.length; at += units, count++) {
        const mean = (values, p) => {
          return values.subarray(at, at + units).reduce((sum, v) => sum + v ** p, 0) / units;
        };
        const shifts = powers.map((q) => mean(fluctuations, q));
        powers.forEach((p) => {
          const rate = mean(rates, p);
          shifts.forEach((shift, q) => (moments[p][q] += rate * shift));
        });
      }
    }
    return moments.map((row) => row.map((sum) => sum / count));
  }

  /** The same of the first trials of networks 1 … n. */
  function firstMoments(setting, degree, n = 4) {
    const runs = Array.from({ length: n }, (_, at) => {
      const life = lifetime(setting, at + 1);
      return simulate(life.network, drawEpisode(setting, 0, life.uniform), setting);
    });
    return activityMoments(runs, degree, setting.units);
  }

  /** r.m.s. of Σ θ_kℓ r^k Δ^ℓ, from the means of r^p Δ^q: companion.tuning.integrand_size. */
  function integrandSize(theta, moments) {
    const size = degreeOf(theta) + 1;
    let square = 0;
    theta.forEach((a, p) => {
      theta.forEach((b, q) => {
        const k = Math.floor(p / size) + Math.floor(q / size);
        square += a * b * moments[k][(p % size) + (q % size)];
      });
    });
    return Math.sqrt(Math.max(square, 0));
  }

  /** η = size / r.m.s. of the integrand; 0 for a rule that is zero. */
  function learningRate(theta, size, moments) {
    const rms = integrandSize(theta, moments);
    return rms > 0 ? size / rms : 0;
  }

  /** First trial (from 1) with ``needed`` of the last ``window`` errors below the bound, or null. */
  function trialsToCriterion(errors, { window, needed, correctBelow }) {
    let correct = 0;
    for (let h = 0; h < errors.length; h++) {
      correct += errors[h] < correctBelow;
      if (h >= window) correct -= errors[h - window] < correctBelow;
      if (h + 1 >= window && correct >= needed) return h + 1;
    }
    return null;
  }

  return {
    activityMoments, cosine, descent, drawEpisode, eligibilityTrace, firstMoments, generator,
    integrand, integrandSize, learner, learnTrial, learningRate, lifetime, nextTrial, quietDescent,
    quietEpisode, quietOutputs, randomNetwork, shareAtBound, simulate, trialsToCriterion,
    visitedPairs,
  };
})();

if (typeof module === "object") module.exports = ExploreCore;
