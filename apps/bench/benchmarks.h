// The benchmarks: each adds one subcommand to the program.
#pragma once

#include <functional>

namespace gradus::apps {
class CommandLine;
}

namespace gradus::apps::bench {

/// Each returns what the program does when its subcommand was given.
std::function<void()> add_train_step(CommandLine& line);
std::function<void()> add_conv(CommandLine& line);
std::function<void()> add_optimizer(CommandLine& line);
std::function<void()> add_ops(CommandLine& line);
std::function<void()> add_small_net(CommandLine& line);
std::function<void()> add_loader(CommandLine& line);
std::function<void()> add_walker(CommandLine& line);

}  // namespace gradus::apps::bench
