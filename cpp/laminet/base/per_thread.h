// Objects of which each thread has its own, for memory that calls use again.
//
// Not thread_local: where there is no memory to register a destructor, or for a thread's part of a
// library that was loaded after it started, the C library ends the process. Here std::bad_alloc is
// thrown.
#pragma once

#include <memory>

namespace laminet {
namespace detail {

struct ThreadNode {
  const void* key;
  void (*destroy)(ThreadNode*);
  ThreadNode* next = nullptr;
};

// The calling thread's node of the key `wanted`, or null. O(1) for the key of the call before.
ThreadNode* find_node(const void* wanted);

// Takes a node: it is destroyed when the thread ends. Throws std::bad_alloc, and leaves the node,
// where there is no memory.
void add_node(ThreadNode* node);

template <class Object>
struct ThreadObject : ThreadNode {
  Object object{};
};

// Its address tells the objects of one type and purpose from all others.
template <class Object, class Purpose>
inline constinit char kThreadKey = 0;

}  // namespace detail

// The calling thread's object of that type and purpose, or null where there is none yet.
template <class Object, class Purpose = void>
Object* thread_object_if_any() {
  detail::ThreadNode* const node = detail::find_node(&detail::kThreadKey<Object, Purpose>);
  return node ? &static_cast<detail::ThreadObject<Object>*>(node)->object : nullptr;
}

// The same, made where there is none. Freed when the thread ends.
template <class Object, class Purpose = void>
Object& thread_object() {
  if (Object* const object = thread_object_if_any<Object, Purpose>()) return *object;
  using Node = detail::ThreadObject<Object>;
  auto node = std::make_unique<Node>();
  node->key = &detail::kThreadKey<Object, Purpose>;
  node->destroy = [](detail::ThreadNode* old) { delete static_cast<Node*>(old); };
  detail::add_node(node.get());
  return node.release()->object;
}

}  // namespace laminet
