#include "apps/common/run_directory.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include "apps/common/checkpoint.h"
#include "core/safetensors.h"
#include "tests/data/temporary_folder.h"

namespace gradus::apps {
namespace {

TEST_CASE("a run folder is made with the folders above it, and holds what was added") {
  const TemporaryFolder folder;
  RunDirectory run(folder / "a/b");
  CHECK(!run.used());
  run.start({{"seed", int64_t{7}}});
  CHECK(!run.used());  // a run that got no further has left nothing to keep
  Metrics metrics;
  metrics.add({{"epoch", int64_t{1}}, {"loss", 0.25}});
  metrics.add({{"epoch", int64_t{2}}, {"loss", 0.125}});
  run.save_metrics(metrics);
  CHECK(run.used());
  run.add_timing({{"seconds", 1.5}});
  run.save_weights({{"w", Tensor::from({1.0F, 2.0F}, {2})}}, {{"step", "3"}});

  CHECK(read_file(folder / "a/b/config.json") == "{\n  \"seed\": 7\n}\n");
  CHECK(read_file(folder / "a/b/metrics.jsonl") == "{\"epoch\": 1, \"loss\": 0.25}\n{\"epoch\": 2, \"loss\": 0.125}\n");
  CHECK(read_file(folder / "a/b/metrics.csv") == "epoch,loss\n1,0.25\n2,0.125\n");
  CHECK(read_file(folder / "a/b/timing.jsonl") == "{\"seconds\": 1.5}\n");
  const safetensors::Content weights = safetensors::load(folder / "a/b/weights.safetensors");
  CHECK(weights.tensors.at("w").to_vector<float>() == std::vector<float>{1, 2});
  CHECK(weights.metadata.at("step") == "3");
}

TEST_CASE("an earlier run moves to its folder `replaced` once a new one starts, and not before") {
  const TemporaryFolder folder;
  {
    RunDirectory earlier(folder / "run");
    earlier.start({});
    earlier.save_metrics({"{}\n", "epoch\n"});
    earlier.add_timing({{"epoch", int64_t{1}}});
    earlier.save_weights({{"w", Tensor::ones({1})}}, {});
    earlier.save_weights({{"w", Tensor::ones({1})}}, {}, "weights.ema.safetensors");
    save_checkpoint(earlier.path(), 3, {{{"w", Tensor::ones({1})}}, {}});
    folder.write("run/classes.json", "[]");
    folder.write("run/events.out.tfevents.1.host", "");
  }
  const auto present = [&](const char* name) { return std::filesystem::exists(folder / (std::string("run/") + name)); };
  RunDirectory run(folder / "run");
  CHECK(run.used());
  CHECK(present("weights.safetensors"));
  run.start({});
  CHECK(present("config.json"));
  for (const char* name :
       {"metrics.jsonl", "metrics.csv", "timing.jsonl", "weights.safetensors", "weights.ema.safetensors",
        "checkpoint-3.safetensors", "classes.json", "events.out.tfevents.1.host"})
    CHECK(!present(name));
  for (const char* name : {"config.json", "metrics.jsonl", "weights.safetensors", "weights.ema.safetensors",
                           "checkpoint-3.safetensors", "classes.json", "events.out.tfevents.1.host"})
    CHECK(present((std::string("replaced/") + name).c_str()));
  run.save_metrics({"{}\n", "epoch\n"});
  CHECK(run.next_replaced() == folder / "run/replaced-2");
  run.start({});  // beside the one before
  CHECK(present("replaced-2/metrics.jsonl"));
  CHECK(!present("replaced-2/weights.safetensors"));
  CHECK(present("replaced/weights.safetensors"));
}

TEST_CASE("a folder is locked as long as a training is in it; what a killed one has left stops nobody") {
  const TemporaryFolder folder;
  folder.write("run/.lock", "1");
  {
    RunDirectory running(folder / "run");
    running.lock();
    RunDirectory other(folder / "run");
    CHECK(contains(error_of([&] { other.lock(); }),
                   "a training is running in " + folder / "run" + text(" (process ", getpid(), ")")));
  }
  CHECK(!std::filesystem::exists(folder / "run/.lock"));
  RunDirectory next(folder / "run");
  next.lock();
}

TEST_CASE("a run that goes on has the metrics it is given and the timing of the epochs it has completed") {
  const TemporaryFolder folder;
  RunDirectory run(folder / "run");
  run.start({});
  for (int64_t epoch : {1, 2, 3}) run.add_timing({{"epoch", epoch}});
  RunDirectory resumed(folder / "run");
  resumed.resume({"{}\n", "epoch\n"}, 2);
  CHECK(read_file(folder / "run/metrics.jsonl") == "{}\n");
  CHECK(read_file(folder / "run/metrics.csv") == "epoch\n");
  resumed.add_timing({{"epoch", int64_t{30}}});
  CHECK(read_file(folder / "run/timing.jsonl") == "{\"epoch\": 1}\n{\"epoch\": 2}\n{\"epoch\": 30}\n");
}

TEST_CASE("a folder that cannot be made names itself and the reason") {
  const TemporaryFolder folder;
  folder.write("file", "");
  CHECK(contains(error_of([&] { RunDirectory(folder / "file"); }), "there is a file of this name"));
  const std::string below = error_of([&] { RunDirectory(folder / "file/run"); });
  CHECK(contains(below, folder / "file/run"));
  CHECK(contains(below, "Not a directory"));
}

}  // namespace
}  // namespace gradus::apps
