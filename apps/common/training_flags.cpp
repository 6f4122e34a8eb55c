#include "apps/common/training_flags.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "apps/common/command_line.h"
#include "apps/common/resume.h"
#include "autograd/autocast.h"
#include "core/convolution.h"
#include "core/parallel.h"
#include "data/md5.h"
#include "optim/registry.h"

namespace gradus::apps {
namespace {

constexpr int64_t most_epochs = 1'000'000'000;  ///< their steps are counted in 64 bits

bool has_momentum(const std::string& rule) { return rule == "momentum" || rule == "nesterov"; }

// Rules whose papers decay the weights apart from the step, which has a size of its own.
bool decays_apart(const std::string& rule) { return rule == "adamw" || rule == "lion" || rule == "muon"; }

// Where curvature is tiny, as at the start of a deep net of convolutions, dividing by it gives steps without measure.
// The authors of AdaHesScale bound theirs by 1e-8, in networks of some thousand parameters; where a million move at
// once the diagonal says less of the curvature along a step, and All-CNN-C learns with a tenth of it only.
double default_step_delta(const std::string& rule) {
  return rule.starts_with("adahesscale") ? 1e-9 : rule == "adahessian" ? 1e-8 : 0;
}

/// Before the training, not after it.
void check_export(const std::string& file) {
  std::error_code ignored;
  const std::filesystem::file_status present = std::filesystem::status(file, ignored);
  if (std::filesystem::exists(present) && !std::filesystem::is_regular_file(present))
    throw UsageError("--export-onnx " + file + " is " +
                     (std::filesystem::is_directory(present) ? "a folder" : "not a regular file") +
                     ": name a file such as model.onnx");
  const std::string probe = file + ".writable";
  const int descriptor = open(probe.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0)
    throw UsageError("--export-onnx " + file + " cannot be written: " + std::generic_category().message(errno));
  close(descriptor);
  unlink(probe.c_str());
}

}  // namespace

bool depends_on_epochs(const std::string& schedule) { return schedule != "step"; }

void TrainingFlags::add_to(CommandLine& line) {
  add_optimizer(line);
  add_preconditioner(line);
  add_training(line);
  device.add_to(line);
  add_results(line);
}

std::vector<std::string> preconditioner_names() { return {"none", "s-hd", "pp-hd", "fop", "fop-norm"}; }

void TrainingFlags::add_optimizer(CommandLine& line) {
  line.group("Optimizer");
  line.add("--rule", rule, "update rule", one_of(optim::rule_names()));
  line.add("--lr", lr,
           "learning rate [sgd, momentum, nesterov " + exact(usual_lr) +
               "; adam, adamw, rmsprop, adahesscale... 0.001; adagrad 0.01;\n"
               "adahessian 0.15; lion 0.0001; muon 0.02, and 0.001 for what is no weight; prodigy 1; shampoo 0.1]",
           at_least(0));
  line.add("--schedule", schedule,
           "of the learning rate. step: divided by 10 at --lr-drop; cosine, linear: down to 0 at the end",
           one_of({"step", "cosine", "linear"}));
  line.add("--lr-drop", lr_drop, "epochs after which the learning rate is divided by 10: 80, or 80,120, or none",
           epoch_list());
  line.add("--warmup", warmup, "epochs, also parts of one, in which the learning rate rises from 0 step by step",
           within(0, most_epochs));
  line.add("--momentum", momentum, "of the rules momentum and nesterov", within(0, 1));
  line.add("--weight-decay", weight_decay,
           "of weights, not of biases and scales [" + exact(usual_decay) + "; adamw 0.01]", at_least(0));
  line.add("--decay-mode", decay_mode,
           "coupled: added to the gradient; after-preconditioner: to what the preconditioner makes of it;\n"
           "decoupled: apart from the rule [coupled; adamw, lion, muon decoupled]",
           one_of({"coupled", "after-preconditioner", "decoupled"}));
  line.add("--clip-norm", clip_norm, "largest length of all gradients together; 0: any", at_least(0));
  line.add("--clip-value", clip_value, "largest size of an element of a gradient; 0: any", at_least(0));
  line.add("--step-delta", step_delta,
           "shortens steps until the loss's curvature term along them is at most this; 0: never\n"
           "[adahesscale, adahesscale-... 1e-9; adahessian 1e-8; others 0]",
           at_least(0));
}

void TrainingFlags::add_preconditioner(CommandLine& line) {
  line.group("Preconditioner");
  line.add("--preconditioner", preconditioner, "learned preconditioner", one_of(preconditioner_names()));
  line.add("--form", form,
           "of fop and fop-norm. factor: P = M M^T from the identity; direct: P itself, symmetric;\n"
           "auto: factor for convolutions, P = I + M M^T for dense layers",
           one_of({"auto", "factor", "direct"}));
  line.add("--rank", rank, "columns of M in P = I + M M^T; 0: all for up to 1024 inputs, 25 above", at_least(0));
  line.add("--acts-on", acts_on,
           "what P multiplies. gradient: before the rule, as in the paper; direction: the rule's direction, momentum\n"
           "included, of which the hypergradient then knows",
           one_of({"gradient", "direction"}));
  line.add("--hyper-rule", hyper_rule, "rule that learns the preconditioner", one_of({"adam", "sgd"}));
  line.add("--hyper-lr", hyper_lr, "its learning rate", at_least(0));
  line.add("--hyper-normalization", hyper_normalization,
           "what hypergradients are divided by. cosine: |g| |x|, x what P multiplied before; previous: |x|^2",
           one_of({"none", "cosine", "previous"}));
}

void TrainingFlags::add_training(CommandLine& line) {
  line.group("Training");
  line.add("--epochs", epochs,
           "passes over the training images; 0 only evaluates. With --resume: as if the run had been asked for\n"
           "so many at first, unless --schedule counts on their number",
           between(0, most_epochs));
  line.add("--batch", batch, "images per step", at_least(1));
  line.add("--accumulate", accumulate,
           "compute a batch in so many parts, one after another: less memory; batch normalization sees the parts",
           at_least(1));
  line.add("--label-smoothing", label_smoothing, "part of the target that is spread over all classes", within(0, 1));
  line.add("--ema", ema,
           "decay, such as 0.999, of a moving average of the weights that is tested and saved too; 0: none",
           within(0, 1));
  line.add("--on-nonfinite", on_nonfinite,
           "where a loss or a gradient is not finite. stop: end; skip: leave the batch out; rollback: go back\n"
           "to the last checkpoint, with half the learning rate",
           one_of({"stop", "skip", "rollback"}));
  line.add("--weights", weights, "start from the weights in this safetensors file, or from a checkpoint's");
  line.add("--seed", seed, "of the initial weights, the order of the images, dropout, augmentation", at_least(0));
  line.add("--threads", threads, "of the computation; 0: all cores", thread_count());
  line.add("--conv", conv,
           "algorithm of convolutions. auto: a fixed rule by shape; measure: whichever is faster here, so that\n"
           "equal runs may differ in the last bits",
           one_of({"auto", "direct", "winograd", "measure"}));
  line.add("--amp", amp, "mixed precision. bf16: activations in bfloat16, parameters and sums in float32",
           one_of({"none", "bf16"}));
  line.add("--workers", workers, "threads that prepare batches; results do not depend on them", thread_count());
}

void TrainingFlags::add_results(CommandLine& line) {
  line.group("Results");
  line.add("--out", out,
           "folder for configuration, metrics, weights and checkpoints; a run that is there moves to its folder\n"
           "replaced, or replaced-2 and so on. Without it nothing is saved, unless the training is interrupted");
  line.add("--checkpoint-every", checkpoint_every, "steps from one checkpoint to the next; 0: an epoch", at_least(0));
  line.add("--resume", resume,
           "go on with the run in this folder from its last checkpoint; needs no other flag, but for --data where\n"
           "that was moved, and --epochs to train on for longer");
  line.add("--tensorboard", tensorboard, "also write an event file for TensorBoard into the folder of --out");
  line.add("--export-onnx", export_onnx, "ONNX file that receives the trained model");
  line.add("--json", json, "print one JSON object per epoch and a last one with \"final\": true");
}

void TrainingFlags::resolve() {
  if (rule == "adamw" && decay_mode.value_or("decoupled") != "decoupled")
    throw UsageError("--rule adamw is Adam with decoupled decay: use --rule adam for --decay-mode " + *decay_mode);
  if (const double usual = optim::default_lr(rule); !lr) lr = usual > 0 ? usual : usual_lr;
  if (!step_delta) step_delta = default_step_delta(rule);
  if (!weight_decay) weight_decay = rule == "adamw" ? 1e-2 : usual_decay;
  if (!decay_mode) decay_mode = decays_apart(rule) ? "decoupled" : "coupled";
  if (lr_drop.empty()) lr_drop = "none";
  if (!export_onnx.empty()) check_export(export_onnx);
  if (tensorboard && out.empty()) throw UsageError("--tensorboard needs --out: it writes into that folder");
  if (accumulate > batch)
    throw UsageError("--accumulate " + std::to_string(accumulate) + " is more than --batch " + std::to_string(batch));
  if (accumulate > 1 && (*step_delta > 0 || make_rule().curvature()))
    throw UsageError("--accumulate needs a rule without curvature, which is measured on whole batches");
  if (warmup > 0 && warmup >= static_cast<double>(epochs))
    throw UsageError("--warmup " + exact(warmup) + " leaves nothing of --epochs " + std::to_string(epochs));
  if (on_nonfinite == "rollback" && out.empty())
    throw UsageError("--on-nonfinite rollback needs --out: it goes back to a checkpoint");

  use_threads(threads);
  threads = num_threads();
  set_conv_algorithm(parse_conv_algorithm(conv));
  device.apply();
  const Autocast possible(parse_amp(amp));  // throws here and now where this device cannot
}

std::vector<std::string> TrainingFlags::without_effect(const CommandLine& line) const {
  if (!resume.empty()) return {};  // all flags were given then
  std::vector<std::string> notes = device.without_effect(line);
  const auto needs = [&](const char* flag, bool effect, const std::string& why) {
    if (line.given(flag) && !effect) notes.push_back(std::string(flag) + " has no effect with " + why);
  };
  const bool learned = preconditioner != "none";
  const bool matrix = preconditioner == "fop" || preconditioner == "fop-norm";
  needs("--momentum", has_momentum(rule), "--rule " + rule);
  needs("--lr-drop", schedule == "step", "--schedule " + schedule);
  needs("--checkpoint-every", !out.empty(), "no --out");
  needs("--form", matrix, "--preconditioner " + preconditioner);
  needs("--rank", matrix, "--preconditioner " + preconditioner);
  needs("--rank", !matrix || form == "auto", "--form " + form);
  needs("--acts-on", learned, "--preconditioner none");
  needs("--hyper-lr", learned, "--preconditioner none");
  needs("--hyper-rule", learned, "--preconditioner none");
  needs("--hyper-normalization", learned, "--preconditioner none");
  return notes;
}

Record TrainingFlags::record() const {
  Record record = {
      {"rule", rule},
      {"lr", *lr},
      {"schedule", schedule},
      {"lr_drop", lr_drop},
      {"warmup", warmup},
      {"momentum", momentum},
      {"weight_decay", *weight_decay},
      {"decay_mode", *decay_mode},
      {"clip_norm", clip_norm},
      {"clip_value", clip_value},
      {"preconditioner", preconditioner},
      {"form", form},
      {"rank", rank},
      {"acts_on", acts_on},
      {"hyper_rule", hyper_rule},
      {"hyper_lr", hyper_lr},
      {"hyper_normalization", hyper_normalization},
      {"epochs", epochs},
      {"batch", batch},
      {"accumulate", accumulate},
      {"label_smoothing", label_smoothing},
      {"ema", ema},
      {"on_nonfinite", on_nonfinite},
      {"checkpoint_every", checkpoint_every},
      {"weights", recorded_path(weights)},
      {"seed", seed},
      {"threads", threads},
      {"conv", conv},
      {"amp", amp},
      {"workers", workers},
      {"step_delta", step_delta.value_or(0)},
      {"tensorboard", tensorboard},
      {"export_onnx", export_onnx.empty() ? "" : std::filesystem::absolute(export_onnx).lexically_normal().string()}};
  std::error_code error;
  if (std::filesystem::is_regular_file(weights, error)) record.add("weights_md5", md5_of_file(weights));
  record.add(device.record());
  return record;
}

optim::AnyRule TrainingFlags::make_rule() const {
  return optim::make_rule({.name = rule, .lr = *lr, .momentum = momentum, .seed = seed});
}

optim::AnyPreconditioner TrainingFlags::make_preconditioner() const {
  using Form = optim::Fop::Form;
  const optim::AnyRule hyper =
      hyper_rule == "adam" ? optim::AnyRule(optim::Adam{.lr = hyper_lr}) : optim::AnyRule(optim::Sgd{.lr = hyper_lr});
  using optim::HyperNormalization;
  const optim::Learning learning{.acts_on = acts_on == "direction" ? optim::ActsOn::direction : optim::ActsOn::gradient,
                                 .normalization = hyper_normalization == "cosine"     ? HyperNormalization::cosine
                                                  : hyper_normalization == "previous" ? HyperNormalization::previous
                                                                                      : HyperNormalization::none};
  if (preconditioner == "none") return optim::NoPreconditioner{};
  if (preconditioner == "s-hd") return optim::SHd{.hyper = hyper, .learning = learning};
  if (preconditioner == "pp-hd") return optim::PpHd{.hyper = hyper, .learning = learning};
  return optim::Fop{.hyper = hyper,
                    .form = form == "factor"   ? Form::factor
                            : form == "direct" ? Form::direct
                                               : Form::automatic,
                    .norm = preconditioner == "fop-norm" ? optim::Fop::Norm::through : optim::Fop::Norm::off,
                    .rank = form == "auto" ? rank : 0,
                    .init_gain = init_gain,
                    .seed = seed,
                    .learning = learning};
}

optim::Schedule TrainingFlags::make_schedule(int64_t steps_per_epoch) const {
  const auto rise = static_cast<int64_t>(std::lround(warmup * static_cast<double>(steps_per_epoch)));
  const int64_t fall = std::max<int64_t>(epochs * steps_per_epoch - rise, 1);
  const double first = 1 / static_cast<double>(rise + 1);  // a rate of 0 would waste the first step
  if (depends_on_epochs(schedule)) {
    const optim::Schedule then = schedule == "cosine" ? optim::cosine(fall) : optim::linear(fall, 1, 0);
    return rise > 0 ? optim::warm_up(rise, first, then) : then;
  }
  const optim::Schedule drops = optim::per_epoch(optim::multi_step(parse_epoch_list(lr_drop)), steps_per_epoch);
  if (rise == 0) return drops;
  return {[drops, up = optim::warm_up(rise, first)](int64_t t) { return up(t) * drops(t); }};
}

optim::Builder TrainingFlags::make_builder(const std::vector<Parameter>& parameters, int64_t steps_per_epoch) const {
  using optim::DecayMode;
  optim::Builder builder = optim::over(parameters);
  builder.precondition(make_preconditioner())
      .rule(make_rule())
      .schedule(make_schedule(steps_per_epoch))
      .clip({.norm = clip_norm, .value = clip_value})
      .weight_decay({.rate = *weight_decay,
                     .mode = *decay_mode == "coupled"     ? DecayMode::coupled
                             : *decay_mode == "decoupled" ? DecayMode::decoupled
                                                          : DecayMode::after_preconditioner,
                     .where = optim::is_weight});
  // Muon is for matrices.
  if (rule == "muon")
    builder.group([](const ParamInfo& info) { return !optim::is_weight(info); },
                  {.weight_decay = 0, .rule = optim::Adam()});
  const std::optional<CurvatureOptions> asked = make_rule().curvature();
  if (step_delta.value_or(0) > 0)
    builder.scale_steps({.delta = *step_delta, .corrected = true, .curvature = asked.value_or(CurvatureOptions())});
  if (preconditioner == "fop" || preconditioner == "fop-norm")
    for (const std::string& layer : without_matrix)
      builder.group(optim::named(layer + "."), {.preconditioner = optim::NoPreconditioner{}});
  return builder;
}

}  // namespace gradus::apps
