// Layers made of layers.
#pragma once

#include <concepts>
#include <string>

#include "layers/activation.h"
#include "layers/module.h"

namespace gradus {

/// Layers one after another, named "0", "1", ... unless added by name. An empty one is the identity. Sequential(inner)
/// is inner itself and not a sequence of it, as C++ moves a value into one of its own type; for that: Sequential outer;
/// outer.add(std::move(inner)).
class Sequential : public Module {
 public:
  Sequential() = default;
  template <class... Layers>
  explicit Sequential(Layers... layers) {
    (add(std::move(layers)), ...);
  }

  /// Appends a layer and returns it.
  template <class M>
  M& add(std::string name, M layer) {
    return child(std::move(name), std::move(layer));
  }
  template <class M>
  M& add(M layer) {
    return child(std::to_string(children().size()), std::move(layer));
  }
  void add(std::string name, std::unique_ptr<Module> layer) { add_child(std::move(name), std::move(layer)); }

  Var forward(const Var& x) override;
  std::string describe() const override { return "Sequential"; }
};

/// activation(body(x) + shortcut(x)); the shortcut is the identity where none is given. Children: "body", "shortcut".
/// Residual(inner) is inner itself where that is a Residual; for one around it put it into a Sequential by add() first.
class Residual : public Module {
 public:
  template <class Body>
  explicit Residual(Body body, Activation activation = Activation::none)
      : body_(child("body", std::move(body))), activation_(activation) {}
  template <class Body, class Shortcut>
  requires std::derived_from<Shortcut, Module> Residual(Body body, Shortcut shortcut,
                                                        Activation activation = Activation::none)
      : body_(child("body", std::move(body))),
        shortcut_(&child("shortcut", std::move(shortcut))),
        activation_(activation) {}

  Var forward(const Var& x) override;
  std::string describe() const override { return "Residual"; }

 private:
  Module& body_;
  Module* shortcut_ = nullptr;
  Activation activation_;
};

/// [N, ...] -> [N, features], in logical (row-major) order.
class Flatten : public Module {
 public:
  Var forward(const Var& x) override { return flatten(x, 1); }
  std::string describe() const override { return "Flatten"; }
};

}  // namespace gradus
