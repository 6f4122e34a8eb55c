// Plots by gnuplot, where there is one.
#pragma once

#include <string>
#include <vector>

namespace gradus::reproduce {

/// Writes FOLDER/NAME.gp, `commands` under a head that sets output, size and the lines of the heading, and runs gnuplot
/// within FOLDER: NAME.svg and NAME.png. The commands read CSV files beside the script. Says once per process on
/// standard error where gnuplot is missing. Throws ErrorKind::io where it fails.
void write_plot(const std::string& folder, const std::string& name, const std::vector<std::string>& heading,
                const std::string& commands, int width = 900, int height = 600);

}  // namespace gradus::reproduce
