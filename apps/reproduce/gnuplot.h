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

/// A name as CSV files and the scripts beside them have it: gnuplot's strcol() ends at a comma, within quotes too, and
/// so takes "momentum, longer" for "momentum".
std::string csv_name(std::string name);

/// The command that draws those rows of a CSV file for which `condition` holds as squares in colors of the palette:
/// numbers of columns from 1, the value as an expression. ("with image" wants all rows of a file, and in order.)
std::string plot_squares(const std::string& file, const std::string& condition, int row, int column,
                         const std::string& value);

/// A curve among others of a CSV file: its name there and in the key.
struct PlottedCurve {
  std::string name;
  int color = 1;
  bool dashed = false;  ///< and then without a band
};

/// Where the file has what, columns from 1: the mean follows x, then the lowest and the highest.
struct CurveColumns {
  int name = 1, x = 2;
  std::string condition = {};  ///< of the rows that count, in gnuplot's words: "column(2) == 3"; empty: all
};

/// The commands that draw these curves as lines within bands from the lowest to the highest.
std::string lines_with_bands(const std::string& file, const std::vector<PlottedCurve>& curves,
                             const CurveColumns& columns);
/// The same in a color each.
std::string lines_with_bands(const std::string& file, const std::vector<std::string>& names,
                             const CurveColumns& columns);

}  // namespace gradus::reproduce
