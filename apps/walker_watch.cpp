// Draws an episode of a walker that walker_train has taught: a filmstrip, an animation, or single frames.
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "apps/common/command_line.h"
#include "apps/common/run_directory.h"
#include "apps/walker/draw.h"
#include "apps/walker/heuristic.h"
#include "apps/walker/ppo.h"
#include "core/error.h"
#include "core/file.h"

using namespace gradus;
using namespace gradus::walker;

namespace {

constexpr const char* examples = R"(Examples:
  walker_watch runs/walk/seed-0/best.safetensors --out walk.svg
      the whole walk in one picture; .png does the same in pixels
  walker_watch runs/walk/seed-0/best.safetensors --terrain hardcore --seed 3 --out walk.gif
      an animation, on another terrain
  walker_watch heuristic --out frames/
      the hand-written walker of Gym, as numbered PNG files)";

/// Steps that a frame of a GIF can stay: its 16 bits count hundredths of a second.
constexpr int64_t longest_delay = 65535 / (100 / static_cast<int64_t>(steps_per_second));

struct Flags {
  std::string policy, out, terrain;
  uint64_t seed = 0;
  int64_t every = 2;
};

/// Errors name the file.
SavedPolicy load(const std::string& path) {
  try {
    SavedPolicy saved = load_policy(path);
    const Environment possible(saved.settings.environment);
    return saved;
  } catch (const Error& error) {
    const std::string what = error.what();
    if (what.find(path) != std::string::npos) throw;
    fail(error.kind(), "walker_watch", path, ": ", what, "; name a policy that walker_train has written");
  }
}

/// A time limit that the training was given stays.
void change_terrain(Settings& settings, const std::string& terrain) {
  const int64_t limit = settings.environment.time_limit;
  Settings usual;
  usual.set_terrain(settings.terrain);
  settings.set_terrain(terrain);
  if (limit != usual.environment.time_limit) settings.environment.time_limit = limit;
}

Episode walk(const Flags& flags) {
  Settings settings;
  std::unique_ptr<Policy> policy;
  if (flags.policy != "heuristic") {
    SavedPolicy saved = load(flags.policy);
    settings = saved.settings;
    policy = std::move(saved.policy);
  }
  if (!flags.terrain.empty()) apps::from_flags([&] { change_terrain(settings, flags.terrain); });
  Environment environment(settings.environment);
  Heuristic heuristic;
  Observation seen = environment.reset(settings.landscape.value_or(flags.seed), flags.seed);
  Episode episode{environment.terrain(), {environment.pose()}};
  // Gym's hand-written walker begins with an action of zeros.
  Action action = policy ? policy->act(seen) : Action{};
  for (Transition t; !t.over(); action = policy ? policy->act(t.observation) : heuristic.act(t.observation)) {
    t = environment.step(action);
    episode.poses.push_back(environment.pose());
    episode.episode_return += t.reward;
    episode.arrived = t.ended && t.reward > -100;
    episode.fell = t.ended && !episode.arrived;
  }
  return episode;
}

int watch(const Flags& flags) {
  const std::string& out = flags.out;
  const bool frames = out.ends_with("/");
  if (!frames && !out.ends_with(".gif") && !out.ends_with(".svg") && !out.ends_with(".png"))
    throw apps::UsageError("--out takes FILE.svg, FILE.png, FILE.gif or FOLDER/, not '" + out + "'");
  if (out == "/") throw apps::UsageError("--out / is the root of the file system: name a folder for the frames");
  const Episode episode = walk(flags);
  const auto moment = [&](size_t i) { return draw_moment(episode.terrain, episode.poses[i]); };
  const auto step = static_cast<size_t>(flags.every);
  if (out.ends_with(".svg")) {
    write_file_atomically(out, svg(draw_filmstrip(episode)));
  } else if (out.ends_with(".png")) {
    write_png(out, draw_filmstrip(episode));
  } else if (frames) {
    const apps::RunDirectory folder(out.substr(0, out.size() - 1));
    const auto frame = [&](size_t number) {
      char name[32];
      std::snprintf(name, sizeof name, "%05zu.png", number);
      return folder.file(name);
    };
    size_t frames_made = 0;
    for (size_t i = 0; i < episode.poses.size(); i += step) write_png(frame(frames_made++), moment(i));
    // Those of a longer animation that was here would play on behind this one.
    while (std::filesystem::remove(frame(frames_made))) ++frames_made;
  } else {
    std::vector<Picture> pictures;
    for (size_t i = 0; i < episode.poses.size(); i += step) pictures.push_back(moment(i));
    write_gif(out, pictures, static_cast<int>(std::lround(100 * static_cast<double>(step) / steps_per_second)));
  }
  char line[160];
  std::snprintf(line, sizeof line, "%s after %zu steps and %.1f m; return %.1f; drawn in ",
                episode.arrived ? "arrived"
                : episode.fell  ? "fell"
                                : "out of time",
                episode.poses.size() - 1, episode.poses.back().eye.x - episode.poses.front().eye.x,
                episode.episode_return);
  apps::print_line(line + out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  apps::CommandLine line("Draws an episode of the bipedal walker, without exploration.", examples, "walker_watch");
  Flags flags;
  line.add_required("POLICY", flags.policy,
                    "best.safetensors or checkpoint-N.safetensors of walker_train, or heuristic");
  line.add_required("--out", flags.out,
                    "FILE.svg or FILE.png: a filmstrip; FILE.gif: an animation; FOLDER/: PNG frames");
  line.add("--terrain", flags.terrain, "another terrain than it was trained on, as walker_train takes it");
  line.add("--seed", flags.seed, "of the terrain, unless that is fixed, and of the push at the start");
  line.add("--every", flags.every, "steps between two frames of an animation", apps::between(1, longest_delay));
  return apps::run(line, argc, argv, [&] {
    if (const std::string remark = terrain_remark(flags.terrain); !remark.empty()) apps::note(remark);
    if (line.given("--every") && (flags.out.ends_with(".svg") || flags.out.ends_with(".png")))
      apps::note("--every has no effect with --out " + flags.out + ", which is one picture");
    return watch(flags);
  });
}
