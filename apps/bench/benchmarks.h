// The benchmarks: each adds one subcommand to the program.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace gradus::apps::bench {

/// Each returns what the program does when its subcommand was given.
std::function<void()> add_train_step(CLI::App& app);
std::function<void()> add_conv(CLI::App& app);
std::function<void()> add_optimizer(CLI::App& app);
std::function<void()> add_small_net(CLI::App& app);
std::function<void()> add_loader(CLI::App& app);
std::function<void()> add_walker(CLI::App& app);

}  // namespace gradus::apps::bench
