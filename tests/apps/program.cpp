#include "tests/apps/program.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

namespace gradus {
namespace {

// An unnamed file: standard error can grow without anybody reading it meanwhile.
int open_unnamed() {
  std::string name = (std::filesystem::temp_directory_path() / "gradus-test-XXXXXX").string();
  const int file = mkstemp(name.data());
  REQUIRE(file >= 0);
  unlink(name.c_str());
  return file;
}

std::string read_all(int file) {
  std::string text;
  char buffer[4096];
  for (ssize_t count; (count = read(file, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(count));
  return text;
}

}  // namespace

Program::Program(const std::string& name, std::vector<std::string> arguments) {
  const char* root = getenv("GRADUS_BUILD_ROOT");
  REQUIRE_MESSAGE(root != nullptr, "run this through Meson, or set GRADUS_BUILD_ROOT");
  arguments.insert(arguments.begin(), std::string(root) + "/" + name);
  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);

  int ends[2];
  REQUIRE(pipe(ends) == 0);
  out_ = ends[0];
  err_file_ = open_unnamed();
  process_ = fork();
  REQUIRE(process_ >= 0);
  if (process_ == 0) {
    // What started the tests may ignore signals, as nohup and a shell's background jobs do; a program inherits that.
    for (int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE}) ::signal(number, SIG_DFL);
    dup2(ends[1], STDOUT_FILENO);
    dup2(err_file_, STDERR_FILENO);
    close(ends[0]);
    close(ends[1]);
    execv(words[0], words.data());
    _exit(127);
  }
  close(ends[1]);
}

Program::~Program() {
  if (process_ > 0) {
    kill(process_, SIGKILL);
    waitpid(process_, nullptr, 0);
  }
  close(out_);
  close(err_file_);
}

std::string Program::next_line() {
  std::string line;
  for (char c; read(out_, &c, 1) == 1;) {
    line += c;
    if (c == '\n') break;
  }
  return line;
}

void Program::close_output() {
  close(out_);
  out_ = -1;
}

void Program::signal(int number) { REQUIRE(kill(process_, number) == 0); }

std::vector<int> Program::children() const {
  const std::string id = std::to_string(process_);
  std::ifstream file("/proc/" + id + "/task/" + id + "/children");
  return {std::istream_iterator<int>(file), {}};
}

Program::Result Program::finish() {
  Result result;
  result.out = read_all(out_);
  int status = 0;
  REQUIRE(waitpid(process_, &status, 0) == process_);
  process_ = -1;
  if (WIFEXITED(status)) result.exit_code = WEXITSTATUS(status);
  lseek(err_file_, 0, SEEK_SET);
  result.err = read_all(err_file_);
  return result;
}

void make_folder_at(const std::string& path) {
  std::error_code taken;
  while (!std::filesystem::create_directory(path, taken)) REQUIRE(taken != std::errc::no_such_file_or_directory);
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

}  // namespace gradus
