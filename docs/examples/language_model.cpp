// A language model: a small transformer learns to go on with a text, here "100 101 102 ...": it learns to count.
#include <gradus.h>

#include <iostream>

using namespace gradus;

constexpr int64_t context = 64, width = 64;  // characters seen at once, features of each

class Transformer : public Module {
 public:
  explicit Transformer(int64_t characters)
      : character_(child("character", Embedding(characters, width))),
        position_(child("position", Embedding(context, width))),
        blocks_(child("blocks", Sequential())),
        head_(child("head", Sequential(LayerNorm(width), Linear(width, characters)))) {
    for (int block = 0; block < 2; ++block) {
      blocks_.add(Residual(Sequential(LayerNorm(width), SelfAttention(width, {.heads = 4, .causal = true}))));
      blocks_.add(Residual(Sequential(LayerNorm(width), Linear(width, 256), GELU(), Linear(256, width))));
    }
  }
  // Numbers of characters, [n, t] -> logits of the one that follows each, [n, t, characters].
  Var forward(const Var& x) override { return head_(blocks_(character_(x) + position_(Tensor::arange(x.size(1))))); }

 private:
  Module &character_, &position_;
  Sequential &blocks_, &head_;
};

int main() {
  std::vector<int64_t> text;  // digits, and a 10 for each space
  for (int64_t i = 100; i < 1000; ++i) text.insert(text.end(), {i / 100, i / 10 % 10, i % 10, 10});
  const Tensor all = Tensor::from(text, {static_cast<int64_t>(text.size())});
  Transformer net(11);
  auto optimizer = optim::over(net.parameters()).precondition(optim::Fop{}).rule(optim::Adam{.lr = 3e-3}).build();
  Generator random(1);
  for (int step = 1; step <= 300; ++step) {
    std::vector<Tensor> windows;
    for (int i = 0; i < 16; ++i) {
      const auto at = static_cast<int64_t>(random.below(text.size() - context));
      windows.push_back(slice(all, 0, at, at + context + 1));
    }
    const Tensor batch = stack(windows, 0);
    optimizer.zero_grad();
    const Var logits = reshape(net(slice(batch, 1, 0, context)), {-1, 11});
    const Var loss = cross_entropy(logits, flatten(slice(batch, 1, 1, context + 1)));
    loss.backward();
    optimizer.step();
    if (step % 50 == 0) std::cout << "step " << step << ": loss " << loss.item() << "\n";
  }
  const NoGrad constants;
  std::vector<int64_t> seen(text.begin(), text.begin() + context);
  for (int i = 0; i < 40; ++i) {
    const Var next = select(net(Tensor::from(std::span<const int64_t>(seen).last(context), {1, context})), 1, -1);
    seen.push_back(static_cast<int64_t>(argmax(next.value(), -1).item()));
    std::cout << "0123456789 "[seen.back()];
  }
  std::cout << "\n";  // 116 117 118 ...
}
