#include "laminet/base/per_thread.h"

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <utility>

namespace laminet::detail {
namespace {

// The first of a thread's nodes is what the key has; 0, or the key plus 1.
constinit std::atomic<std::uintptr_t> published_key{0};

void destroy_all(void* first) {
  for (auto* node = static_cast<ThreadNode*>(first); node;) {
    ThreadNode* const old = std::exchange(node, node->next);
    old->destroy(old);
  }
}

pthread_key_t key() {
  std::uintptr_t known = published_key.load(std::memory_order_acquire);
  if (known == 0) {
    pthread_key_t fresh;
    if (pthread_key_create(&fresh, destroy_all) != 0) throw std::bad_alloc();
    if (published_key.compare_exchange_strong(known, static_cast<std::uintptr_t>(fresh) + 1)) {
      return fresh;
    }
    pthread_key_delete(fresh);
  }
  return static_cast<pthread_key_t>(known - 1);
}

}  // namespace

ThreadNode* find_node(const void* wanted) {
  const std::uintptr_t known = published_key.load(std::memory_order_acquire);
  if (known == 0) return nullptr;
  const auto own = static_cast<pthread_key_t>(known - 1);
  auto* const first = static_cast<ThreadNode*>(pthread_getspecific(own));
  if (!first || first->key == wanted) return first;
  for (ThreadNode* before = first; before->next; before = before->next) {
    ThreadNode* const node = before->next;
    if (node->key != wanted) continue;
    // To second place: what a call asks for again is found at once, without another call of the C
    // library.
    before->next = node->next;
    node->next = first->next;
    first->next = node;
    return node;
  }
  return nullptr;
}

void add_node(ThreadNode* node) {
  const pthread_key_t own = key();
  auto* const first = static_cast<ThreadNode*>(pthread_getspecific(own));
  if (first) {
    node->next = std::exchange(first->next, node);
  } else if (pthread_setspecific(own, node) != 0) {
    throw std::bad_alloc();
  }
}

}  // namespace laminet::detail
