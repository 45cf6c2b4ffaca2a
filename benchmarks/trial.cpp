// One network learning delayed non-match to sample by the rule of Miconi (2017), in plain loops.
// The yardstick of `make bench`: what one would write by hand, compiled with -O3 -march=native.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

int main(int argc, char **argv) {
    const int N = 200, T = 1000, trials = argc > 1 ? std::atoi(argv[1]) : 40;
    const float dt = 1.0f, tau = 30.0f, eta = 0.1f, clip = 3e-4f;
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0.0f, 1.5f / std::sqrt(float(N)));
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f), chance(0.0f, 1.0f);
    std::vector<float> W(N * N), trace(N * N), W_in(N * 2), x(N), r(N), x_bar(N, 0.0f), delta(N);
    for (auto &w : W) w = normal(random);
    for (auto &w : W_in) w = uniform(random);
    float mean_error[4] = {0, 0, 0, 0}, total = 0.0f;

    const auto start = std::chrono::steady_clock::now();
    for (int trial = 0; trial < trials; ++trial) {
        const int type = trial % 4;
        const float target = (type == 1 || type == 2) ? 0.98f : -0.98f;
        float error = 0.0f;
        std::fill(trace.begin(), trace.end(), 0.0f);
        for (auto &value : x) value = 0.1f * uniform(random);
        for (int t = 0; t < T; ++t) {
            float u[2] = {0.0f, 0.0f};
            if (t >= 1 && t < 201) u[type / 2] = 1.0f;
            if (t >= 400 && t < 600) u[type % 2] = 1.0f;
            for (int j = 0; j < N; ++j) r[j] = std::tanh(x[j]);
            for (int i = 0; i < N; ++i) {
                float current = W_in[2 * i] * u[0] + W_in[2 * i + 1] * u[1] - x[i];
                for (int j = 0; j < N; ++j) current += W[i * N + j] * r[j];
                x[i] += dt / tau * current;
                if (t >= 4 && chance(random) < 0.003f) x[i] += uniform(random) * 16.0f * dt / tau;
            }
            x[1] = 1.0f, x[10] = 1.0f, x[11] = -1.0f;
            for (int i = 0; i < N; ++i) {
                delta[i] = x[i] - x_bar[i];
                x_bar[i] += 0.95f * delta[i];
            }
            if (t >= 3)
                for (int i = 0; i < N; ++i)
                    for (int j = 0; j < N; ++j) {
                        const float product = r[j] * delta[i];
                        trace[i * N + j] += product * product * product;
                    }
            if (t >= 800) error += std::fabs(std::tanh(x[0]) - target) / 200.0f;
        }
        const float surprise = error - mean_error[type];
        if (trial >= 1)
            for (int s = 0; s < N * N; ++s) {
                const float change = -eta * mean_error[type] * trace[s] * surprise;
                W[s] += std::min(std::max(change, -clip), clip);
            }
        mean_error[type] += 0.25f * surprise;
        total += error;
    }
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    std::printf("%.9f %f\n", elapsed.count() / trials, total / trials);
}
