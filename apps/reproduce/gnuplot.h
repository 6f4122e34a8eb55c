// Plots by gnuplot, where there is one.
#pragma once

#include <string>
#include <vector>

namespace gradus::reproduce {

/// Writes FOLDER/NAME.gp, `commands` under a head that sets output, size and the lines of the heading, and runs gnuplot
/// within FOLDER: NAME.svg and NAME.png. The commands read CSV files beside the script. Plots of earlier results are
/// removed first. Where gnuplot fails, or is missing, a note says so, the latter once per process, and the script is
/// all that there is.
void write_plot(const std::string& folder, const std::string& name, const std::vector<std::string>& heading,
                const std::string& commands, int width = 900, int height = 600);

/// The command that draws those rows of a CSV file for which `condition` holds as squares in colors of the palette:
/// numbers of columns from 1, the value as an expression. ("with image" wants all rows of a file, and in order.)
std::string plot_squares(const std::string& file, const std::string& condition, int row, int column,
                         const std::string& value);

}  // namespace gradus::reproduce
