// Running gnuplot, where there is one.
#pragma once

#include <string>

namespace gradus::reproduce {

/// Runs FOLDER/NAME.gp within FOLDER, once per format: NAME.svg and NAME.png. Says once per process on standard error
/// where gnuplot is missing. Throws ErrorKind::io where gnuplot fails.
void run_gnuplot(const std::string& folder, const std::string& name);

}  // namespace gradus::reproduce
