#include "apps/reproduce/gnuplot.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "apps/common/command_line.h"
#include "core/error.h"
#include "core/file.h"

namespace gradus::reproduce {
namespace {

// Within double quotes of a gnuplot script.
std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (char c : text) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  return out + "\"";
}

// Divided at blanks into lines of at most so many letters.
std::vector<std::string> wrapped(const std::string& text, size_t letters) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = text.size() - begin <= letters ? text.size() : text.rfind(' ', begin + letters);
    if (end == text.npos || end <= begin) end = text.size();
    lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// Of these results, or of earlier ones, beside which they would look like these.
void remove_plots(const std::string& folder, const std::string& name) {
  std::error_code ignored;
  for (const char* ending : {".svg", ".png"}) std::filesystem::remove(folder + "/" + name + ending, ignored);
}

void run_gnuplot(const std::string& folder, const std::string& name) {
  static bool missing = false;
  for (const std::string format : {"svg", "png"}) {
    if (missing) return;
    std::string program = "gnuplot", option = "-e", choice = "format='" + format + "'", script = name + ".gp";
    char* const words[] = {program.data(), option.data(), choice.data(), script.data(), nullptr};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder.c_str());
    pid_t process = 0;
    const int error = posix_spawnp(&process, "gnuplot", &actions, nullptr, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error == ENOENT) {
      missing = true;
      apps::note("there is no gnuplot: scripts are written, but no plots (apt-get install gnuplot-nox)");
      return;
    }
    int status = 0;
    while (error == 0 && waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    if (error != 0 || status != 0) {
      apps::note(text("gnuplot failed on ", folder, "/", script, error ? ": " : "",
                      error ? std::generic_category().message(error) : "", ", so that there is no such plot"));
      remove_plots(folder, name);
      return;
    }
  }
}

}  // namespace

std::string csv_name(std::string name) {
  std::replace(name.begin(), name.end(), ',', ';');
  return name;
}

std::string plot_squares(const std::string& file, const std::string& condition, int row, int column,
                         const std::string& value) {
  const std::string x = "$" + std::to_string(column), y = "$" + std::to_string(row);
  return "plot '" + file + ".csv' using (" + condition + " ? " + x + " : NaN):(" + y + "):(" + x + " - 0.5):(" + x +
         " + 0.5):(" + y + " - 0.5):(" + y + " + 0.5):(" + value +
         ") every ::1 with boxxyerror fillstyle solid noborder linecolor palette\n";
}

std::string lines_with_bands(const std::string& file, const std::vector<PlottedCurve>& curves,
                             const CurveColumns& columns) {
  std::string commands = text("of(name, c) = strcol(", columns.name, ") eq name",
                              columns.condition.empty() ? "" : " && " + columns.condition,
                              " ? column(c) : NaN\nset style fill transparent solid 0.2 noborder\nplot ");
  for (const PlottedCurve& curve : curves) {
    const auto of = [&](int column) { return text("(of(", quoted(csv_name(curve.name)), ", ", column, "))"); };
    const std::string from = text("'", file, ".csv' using ", columns.x, ":");
    if (&curve != curves.data()) commands += ", ";
    if (!curve.dashed)
      commands += text(from, of(columns.x + 2), ":", of(columns.x + 3), " every ::1 with filledcurves lc ", curve.color,
                       " notitle, ");
    commands += text(from, of(columns.x + 1), " every ::1 with lines ", curve.dashed ? "dt 2" : "lw 2", " lc ",
                     curve.color, " title ", quoted(curve.name));
  }
  return commands + "\n";
}

std::string lines_with_bands(const std::string& file, const std::vector<std::string>& names,
                             const CurveColumns& columns) {
  std::vector<PlottedCurve> curves;
  for (const std::string& name : names) curves.push_back({.name = name, .color = static_cast<int>(curves.size()) + 1});
  return lines_with_bands(file, curves, columns);
}

void write_plot(const std::string& folder, const std::string& name, const std::vector<std::string>& heading,
                const std::string& commands, int width, int height) {
  const std::string size = std::to_string(width) + "," + std::to_string(height);
  const std::string head = "# gnuplot " + name + ".gp makes " + name + ".svg; with -e \"format='png'\", " + name +
                           ".png\n" + "if (!exists(\"format\")) format = 'svg'\nif (format eq 'svg') {\n" +
                           "  set terminal svg noenhanced background 'white' size " + size + "\n} else {\n" +
                           "  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {\n    set terminal pngcairo noenhanced size " +
                           size + "\n  } else {\n    set terminal png noenhanced size " + size +
                           "\n  }\n}\nset output '" + name + ".'.format\nset datafile separator ','\n";
  std::string lines;
  int count = 0;
  for (const std::string& text : heading)
    for (const std::string& line : wrapped(text, static_cast<size_t>(width) / 9)) {  // a letter takes 8 pixels or so
      lines += (lines.empty() ? "" : ".\"\\n\".") + quoted(line);
      ++count;
    }
  // A title would be centered over the axes, and cut off where a key beside them is wide. Several plots in one have it
  // as theirs.
  const std::string placed =
      commands.find("set multiplot") != commands.npos
          ? ""
          : "set label 1 heading at screen 0.5, screen 0.97 center\nset tmargin " + std::to_string(count + 2) + "\n";
  write_file_atomically(folder + "/" + name + ".gp", head + "heading = " + lines + "\n" + placed + commands);
  remove_plots(folder, name);
  run_gnuplot(folder, name);
}

}  // namespace gradus::reproduce
