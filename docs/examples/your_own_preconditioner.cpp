// Your own preconditioner: one learned step size per filter, between S-HD's one per layer and PP-HD's one per element.
#include <gradus.h>
#include <cstdio>

using namespace gradus;

/// P(m) multiplies the gradient of filter o with m_o^2, which stays positive whatever is learned.
class FilterScale : public optim::Preconditioner {
 public:
  explicit FilterScale(const Tensor& weight) : filters_(weight.size(0)), dtype_(weight.dtype()) {}
  Tensor initial() const override { return Tensor::ones({filters_, 1}, dtype_); }
  Tensor apply(const Tensor& m, const Tensor& x, const optim::StepInfo&) const override {
    return reshape(rows(x) * (m * m), x.shape());
  }
  /// The gradient of <g, P(m) x> with respect to m: all the mathematics that there is.
  Tensor gradient(const Tensor& m, const Tensor& g, const Tensor& x, const optim::StepInfo&) const override {
    return 2.0 * m * sum(rows(g) * rows(x), {1}, true);
  }

 private:
  Tensor rows(const Tensor& x) const { return reshape(x, {filters_, -1}); }
  int64_t filters_;
  DType dtype_;
};

struct PerFilter {
  static constexpr const char* name = "per-filter";
  optim::AnyRule hyper = optim::Adam{.lr = 1e-2};
  optim::Learning learning = {};
  std::unique_ptr<optim::Preconditioner> make(const optim::Site& site) const {
    if (!optim::is_weight(site.info) || site.value.rank() < 2) return nullptr;
    return std::make_unique<FilterScale>(site.value);
  }
};

double final_loss(const Loader& loader, const optim::AnyPreconditioner& preconditioner) {
  manual_seed(1);  // the same start for everyone
  Sequential net(Conv2d(3, 16, {.kernel = 3, .stride = 2}), ReLU(), Conv2d(16, 32, {.kernel = 3, .stride = 2}), ReLU(),
                 Flatten(), Linear(32 * 7 * 7, 10));
  const optim::Sgd momentum{.lr = 0.02, .momentum = 0.9};
  auto opt = optim::over(net.parameters()).precondition(preconditioner).rule(momentum).build();
  double total = 0;
  for (int64_t epoch = 0; epoch < 6; ++epoch) {
    total = 0;
    for (const auto& [images, labels] : loader.epoch(epoch)) {
      opt.zero_grad();
      const Var loss = cross_entropy(net(images), labels);
      loss.backward();
      opt.step();
      total += loss.item();
    }
  }
  return total / static_cast<double>(loader.batches());
}

int main() {
  const Loader loader(make_synthetic({.train = 640, .test = 10}).train, {.batch = 32});
  for (const optim::AnyPreconditioner& p : {optim::AnyPreconditioner(), {optim::Fop{}}, {PerFilter{}}})
    std::printf("%-10s %.4f\n", p.name().c_str(), final_loss(loader, p));
}
