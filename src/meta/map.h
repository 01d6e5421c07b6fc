#pragma once
// Map: an ordered map whose copies share what they have in common. Copying is one reference, a
// change copies the path to it: O(log n) nodes, whatever the size. A copy is a frozen image that
// any thread may read while its owner changes on.
//
// An AVL tree. Where values have a `version`, each subtree knows the newest one in it, so that what
// changed since a version is found without looking at what did not.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

namespace walrus::meta {

template <class Key, class Value>
class Map {
 public:
  std::size_t size() const { return size_of(root_); }
  bool empty() const { return !root_; }

  // Lives as long as an image that holds it.
  template <class K>
  const Value* find(const K& key) const {
    const Node* at = root_.get();
    while (at) {
      if (key < at->key) at = at->left.get();
      else if (at->key < key) at = at->right.get();
      else return at->value.get();
    }
    return nullptr;
  }
  template <class K>
  bool contains(const K& key) const {
    return find(key) != nullptr;
  }

  void set(const Key& key, Value value) {
    root_ = insert(root_, key, std::make_shared<const Value>(std::move(value)));
  }
  template <class K>
  void erase(const K& key) {
    root_ = remove(root_, key);
  }

  // Each in the order of keys: visit(key, value).
  template <class Visit>
  void each(const Visit& visit) const {
    each(root_.get(), visit);
  }
  // From the first key not less than `from`, while visit(key, value) answers true.
  template <class K, class Visit>
  void scan(const K& from, const Visit& visit) const {
    scan(root_.get(), from, visit);
  }
  template <class Visit>
  void changed_since(std::uint64_t version, const Visit& visit) const {
    changed(root_.get(), version, visit);
  }

  // Whether the tree is one: ordered, balanced, sizes and versions true.
  bool sound() const {
    const Key* before = nullptr;
    return sound(root_.get(), before);
  }

 private:
  struct Node;
  using Ref = std::shared_ptr<const Node>;
  using ValueRef = std::shared_ptr<const Value>;
  struct Node {
    Key key;
    ValueRef value;
    Ref left, right;
    std::uint64_t newest;  // of the versions in this subtree
    std::uint32_t size;
    std::int32_t height;
  };

  static std::uint32_t size_of(const Ref& node) { return node ? node->size : 0; }
  static std::int32_t height_of(const Ref& node) { return node ? node->height : 0; }
  static std::uint64_t newest_of(const Ref& node) { return node ? node->newest : 0; }
  static std::uint64_t version_of(const Value& value) {
    if constexpr (requires { value.version; }) return value.version.value;
    else return 0;
  }

  static Ref make(const Key& key, ValueRef value, Ref left, Ref right) {
    auto newest = std::max({version_of(*value), newest_of(left), newest_of(right)});
    auto size = size_of(left) + size_of(right) + 1;
    auto height = std::max(height_of(left), height_of(right)) + 1;
    return std::make_shared<const Node>(
        Node{key, std::move(value), std::move(left), std::move(right), newest, size, height});
  }
  // The same for subtrees whose heights differ by two at most.
  static Ref balance(const Key& key, ValueRef value, const Ref& left, const Ref& right) {
    if (height_of(left) > height_of(right) + 1) {
      if (height_of(left->left) >= height_of(left->right))
        return make(left->key, left->value, left->left,
                    make(key, std::move(value), left->right, right));
      const auto& middle = left->right;
      return make(middle->key, middle->value,
                  make(left->key, left->value, left->left, middle->left),
                  make(key, std::move(value), middle->right, right));
    }
    if (height_of(right) > height_of(left) + 1) {
      if (height_of(right->right) >= height_of(right->left))
        return make(right->key, right->value, make(key, std::move(value), left, right->left),
                    right->right);
      const auto& middle = right->left;
      return make(middle->key, middle->value, make(key, std::move(value), left, middle->left),
                  make(right->key, right->value, middle->right, right->right));
    }
    return make(key, std::move(value), left, right);
  }

  static Ref insert(const Ref& at, const Key& key, ValueRef value) {
    if (!at) return make(key, std::move(value), {}, {});
    if (key < at->key)
      return balance(at->key, at->value, insert(at->left, key, std::move(value)), at->right);
    if (at->key < key)
      return balance(at->key, at->value, at->left, insert(at->right, key, std::move(value)));
    return make(key, std::move(value), at->left, at->right);
  }
  template <class K>
  static Ref remove(const Ref& at, const K& key) {
    if (!at) return at;
    if (key < at->key) return balance(at->key, at->value, remove(at->left, key), at->right);
    if (at->key < key) return balance(at->key, at->value, at->left, remove(at->right, key));
    if (!at->left) return at->right;
    if (!at->right) return at->left;
    const Node* first = at->right.get();
    while (first->left) first = first->left.get();
    return balance(first->key, first->value, at->left, remove(at->right, first->key));
  }

  template <class Visit>
  static void each(const Node* at, const Visit& visit) {
    for (; at; at = at->right.get()) {
      each(at->left.get(), visit);
      visit(at->key, *at->value);
    }
  }
  template <class K, class Visit>
  static bool scan(const Node* at, const K& from, const Visit& visit) {
    for (; at; at = at->right.get()) {
      if (at->key < from) continue;
      if (!scan(at->left.get(), from, visit) || !visit(at->key, *at->value)) return false;
    }
    return true;
  }
  template <class Visit>
  static void changed(const Node* at, std::uint64_t version, const Visit& visit) {
    for (; at && at->newest > version; at = at->right.get()) {
      changed(at->left.get(), version, visit);
      if (version_of(*at->value) > version) visit(at->key, *at->value);
    }
  }
  static bool sound(const Node* at, const Key*& before) {
    if (!at) return true;
    if (!sound(at->left.get(), before)) return false;
    if (before && !(*before < at->key)) return false;
    before = &at->key;
    auto newest = std::max({version_of(*at->value), newest_of(at->left), newest_of(at->right)});
    auto lean = height_of(at->left) - height_of(at->right);
    return at->newest == newest && lean >= -1 && lean <= 1 &&
           at->size == size_of(at->left) + size_of(at->right) + 1 &&
           at->height == std::max(height_of(at->left), height_of(at->right)) + 1 &&
           sound(at->right.get(), before);
  }

  Ref root_{};
};

}  // namespace walrus::meta
