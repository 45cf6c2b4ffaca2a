// One network learning delayed non-match to sample by the rule of Miconi (2017), in plain loops.
// The yardstick of `make bench`: what one would write by hand and then make fast, compiled with
// -O3 -march=native. Inner loops run over contiguous units, so that the compiler turns them into
// vector instructions, and powers are taken of vectors and not of each synapse. The trace is brought
// up to date every STEPS steps: with 1 these are the loops of the equations; with 8 the trace is
// fetched from the cache an eighth as often.
// Prints seconds a trial, the mean error, and the seconds of a trial's products of W alone.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#ifndef STEPS
#define STEPS 8
#endif
constexpr int N = 200, T = 1000;
// Wt[j][i] leads from unit j to unit i, trace[j][i] likewise.
alignas(64) float Wt[N][N], trace[N][N], W_in[2][N], x[N], r[N], x_bar[N], current[N];
alignas(64) float presynaptic[STEPS][N], postsynaptic[STEPS][N];

// Four presynaptic units at a time: one pass over `current` for each four.
void add_recurrent_input() {
    for (int j = 0; j < N; j += 4)
        for (int i = 0; i < N; ++i)
            current[i] += Wt[j][i] * r[j] + Wt[j + 1][i] * r[j + 1] + Wt[j + 2][i] * r[j + 2] +
                          Wt[j + 3][i] * r[j + 3];
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

int main(int argc, char **argv) {
    const int trials = argc > 1 ? std::atoi(argv[1]) : 40;
    const float dt = 1.0f, tau = 30.0f, eta = 0.1f, clip = 3e-4f;
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 1.5f / std::sqrt(float(N)));
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f), chance(0.0f, 1.0f);
    for (int i = 0; i < N; ++i)
        for (int j = 0; j < N; ++j) Wt[j][i] = normal(random);
    for (int i = 1; i < N; ++i)
        for (int c = 0; c < 2; ++c) W_in[c][i] = uniform(random);
    float mean_error[4] = {0, 0, 0, 0}, total = 0.0f;

    const auto start = std::chrono::steady_clock::now();
    for (int trial = 0; trial < trials; ++trial) {
        const int type = trial % 4;
        const float target = (type == 1 || type == 2) ? 0.98f : -0.98f;
        float error = 0.0f;
        std::fill(&trace[0][0], &trace[0][0] + N * N, 0.0f);
        for (auto &value : x) value = 0.1f * uniform(random);
        x[1] = 1.0f, x[10] = 1.0f, x[11] = -1.0f;
        for (int t = 0; t < T; ++t) {
            float u[2] = {0.0f, 0.0f};
            if (t >= 1 && t < 201) u[type / 2] = 1.0f;
            if (t >= 400 && t < 600) u[type % 2] = 1.0f;
            for (int j = 0; j < N; ++j) r[j] = std::tanh(x[j]);
            for (int i = 0; i < N; ++i) current[i] = W_in[0][i] * u[0] + W_in[1][i] * u[1] - x[i];
            add_recurrent_input();
            for (int i = 0; i < N; ++i) x[i] += dt / tau * current[i];
            if (t >= 4)
                for (int i = 0; i < N; ++i)
                    if (chance(random) < 0.003f) x[i] += uniform(random) * 16.0f * dt / tau;
            x[1] = 1.0f, x[10] = 1.0f, x[11] = -1.0f;
            const int slot = t % STEPS;
            const float counts = t >= 3 ? 1.0f : 0.0f;
            for (int i = 0; i < N; ++i) {
                const float delta = x[i] - x_bar[i];
                x_bar[i] += 0.95f * delta;
                postsynaptic[slot][i] = counts * delta * delta * delta;
                presynaptic[slot][i] = r[i] * r[i] * r[i];
            }
            if (slot == STEPS - 1)
                for (int j = 0; j < N; ++j)
                    for (int i = 0; i < N; ++i) {
                        float sum = trace[j][i];
                        for (int s = 0; s < STEPS; ++s) sum += presynaptic[s][j] * postsynaptic[s][i];
                        trace[j][i] = sum;
                    }
            if (t >= 800) error += std::fabs(std::tanh(x[0]) - target) / 200.0f;
        }
        const float surprise = error - mean_error[type];
        if (trial >= 1)
            for (int j = 0; j < N; ++j)
                for (int i = 0; i < N; ++i) {
                    const float change = -eta * mean_error[type] * trace[j][i] * surprise;
                    Wt[j][i] += std::min(std::max(change, -clip), clip);
                }
        mean_error[type] += 0.25f * surprise;
        total += error;
    }
    const double elapsed = seconds_since(start) / trials;

    const auto again = std::chrono::steady_clock::now();
    float kept = 0.0f;
    for (int t = 0; t < trials * T; ++t) {
        add_recurrent_input();
        kept += current[t % N];  // so that nothing is left out as useless
    }
    const double products = seconds_since(again) / trials;
    std::printf("%.9f %f %.9f\n", elapsed, total / trials, kept == 0.12345f ? 0.0 : products);
}
