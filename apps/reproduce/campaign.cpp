#include "apps/reproduce/campaign.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "apps/common/command_line.h"
#include "apps/common/interrupt.h"
#include "apps/reproduce/train.h"
#include "core/error.h"
#include "core/parallel.h"

namespace gradus::reproduce {
namespace {

void pause_shortly() { std::this_thread::sleep_for(std::chrono::milliseconds(50)); }

}  // namespace

// `done` of all work is done before it, and it is a `part` of all.
Campaign::End Campaign::run(const Run& run, const std::string& progress, double done, double part) {
  const std::string key = context_.key(run);
  const auto claim = context_.ledger().claim(key);
  if (!claim) {
    ++waiting_;
    return End::finished;
  }
  if (context_.ledger().find(key)) return End::finished;  // by another process, just now
  const Supervision supervision{
      .checkpoint = context_.ledger().checkpoint(key),
      .stop = [&] { return apps::interrupted() || out_of_time(); },
      .watch =
          [&](int64_t step) {
            progress_.show(progress, done + part * static_cast<double>(step) / static_cast<double>(run.steps));
          }};
  const auto outcome = run.routine ? run.routine(supervision) : train(run, context_.images(run.images), supervision);
  progress_.clear();
  if (!outcome) return apps::interrupted() ? End::interrupted : End::out_of_time;
  context_.ledger().add(key, context_.settings(run), *outcome);
  context_.ledger().remove_checkpoint(key);
  worked_ = true;
  return End::finished;
}

Campaign::End Campaign::run_available(const Experiment& experiment) {
  if (!experiment.runs) return End::finished;
  // Trainings that depend on others appear when those are finished, so the list is asked for again until it is done.
  for (size_t done_before = 0;;) {
    const std::vector<Run> runs = experiment.runs(context_);
    size_t done = 0;
    waiting_ = 0;
    for (const Run& run : runs) {
      if (!context_.find(run)) {
        if (apps::interrupted()) return End::interrupted;
        if (worked_ && out_of_time()) return End::out_of_time;
        const auto index = &run - runs.data();
        const std::string progress = text(experiment.name, " ", index + 1, "/", runs.size(), ", ", run.name);
        const double part = 1 / static_cast<double>(runs.size());
        if (const End end = this->run(run, progress, static_cast<double>(index) * part, part); end != End::finished)
          return end;
      }
      if (context_.find(run)) ++done;
    }
    if (waiting_ > 0 || done == done_before) return End::finished;
    done_before = done;
  }
}

Campaign::End Campaign::run_all(const Experiment& experiment) {
  while (true) {
    if (const End end = run_available(experiment); end != End::finished || waiting_ == 0) return end;
    if (apps::interrupted()) return End::interrupted;
    if (out_of_time()) return End::out_of_time;
    pause_shortly();
  }
}

bool run_in_processes(const Request& request, const Ledger& ledger, const std::vector<const Experiment*>& experiments,
                      const apps::Stopwatch& since) {
  const pid_t parent = getpid();
  std::vector<pid_t> processes;
  for (int64_t job = 0; job < request.jobs; ++job) {
    const pid_t process = fork();
    if (process < 0) break;  // fewer of them do the work, too
    if (process > 0) {
      processes.push_back(process);
      continue;
    }
    apps::leave_ending_to_parent();
    if (getppid() != parent) _exit(apps::exit_interrupted);  // it ended before anybody could be told
    int code = 0;
    try {
      set_num_threads(static_cast<int>(std::max<int64_t>(1, num_threads() / request.jobs)));
      const Context context(request, ledger);
      Campaign campaign(context, since);
      for (const Experiment* experiment : experiments)
        if (campaign.run_available(*experiment) != Campaign::End::finished) break;
    } catch (const std::exception& error) {
      apps::note(error.what());
      code = 1;
    }
    _exit(code);
  }
  bool told = false, worked = false;
  while (!processes.empty()) {
    if (apps::interrupted() && !told) {
      for (pid_t process : processes) kill(process, SIGTERM);
      told = true;
    }
    std::erase_if(processes, [&](pid_t process) {
      int status = 0;
      const pid_t ended = waitpid(process, &status, WNOHANG);
      if (ended == process && WIFSIGNALED(status))
        apps::note(text("a process of --jobs was ended by a signal: ", strsignal(WTERMSIG(status)),
                        "; what it was at is left to this one"));
      worked = worked || (ended == process && WIFEXITED(status) && WEXITSTATUS(status) == 0);
      return ended != 0;
    });
    pause_shortly();
  }
  return worked;
}

}  // namespace gradus::reproduce
