#include "apps/reproduce/gnuplot.h"

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <system_error>

#include "apps/common/command_line.h"
#include "core/error.h"

namespace gradus::reproduce {

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
    if (error != 0 || status != 0)
      fail(ErrorKind::io, "gnuplot", "failed on ", folder, "/", script, error ? ": " : "",
           error ? std::generic_category().message(error) : "");
  }
}

}  // namespace gradus::reproduce
