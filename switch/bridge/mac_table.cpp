// SPDX-License-Identifier: MIT
#include "switch/bridge/mac_table.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <new>

namespace lanyard {

MacTable::MacTable(std::uint64_t secret, std::size_t entries_max)
    : secret_(secret | 1),
      entries_max_(std::max<std::size_t>(entries_max, 1)),
      mask_(std::bit_ceil(entries_max_) - 1),
      buckets_(make_buckets(mask_ + 1)),
      nodes_(new Node[entries_max_ + 1]),
      owners_(1),
      vlan_flushed_(kVlanIds) {}

void MacTable::Unmap::operator()(Index* buckets) const {
  ::munmap(buckets, bytes);
}

std::unique_ptr<MacTable::Index[], MacTable::Unmap> MacTable::make_buckets(std::size_t count) {
  const std::size_t bytes = count * sizeof(Index);
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return {static_cast<Index*>(memory), Unmap{bytes}};
}

MacTable::LearnResult MacTable::learn(MacAddress mac, VlanId vlan, PortId port,
                                      std::uint32_t now_s) {
  LearnResult result;
  if (refresh(mac, vlan, port, now_s)) return result;
  const std::uint64_t key = key_of(mac, vlan);
  Index at = find_node(key);
  if (at != kNil && valid(nodes_[at])) {
    Node& node = nodes_[at];
    result.from = node.port;
    if (now_s - node.seen_s <= settings_.hold_s) {
      result.what = Learned::held;
      return result;
    }
    result.what = Learned::moved;
    unlink(at);
    --live_;
  } else {
    result.what = Learned::added;
    // Room is made first: it may be this very stale node that is reclaimed.
    if (at != kNil) forget(at);
    at = allocate(result.evicted, now_s);
    Index* const bucket = bucket_of(key);
    nodes_[at].key = key;
    nodes_[at].chain = *bucket;
    *bucket = at;
  }
  nodes_[at].seen_s = now_s;
  nodes_[at].stamp = flushes_;
  link_newest(at, port);
  ++live_;
  return result;
}

void MacTable::flush_port(PortId port) {
  Owner& gone = owner(port);
  gone.flushed = ++flushes_;
  if (gone.oldest == kNil) return;
  live_ -= gone.count;
  // The whole list joins the stale nodes at once; its members are recognised by their stamp.
  nodes_[gone.newest].newer = stale_;
  if (stale_ != kNil) nodes_[stale_].older = gone.newest;
  stale_ = gone.oldest;
  gone.oldest = gone.newest = kNil;
  gone.count = 0;
  --holders_;
}

void MacTable::flush_vlan(VlanId vlan) {
  vlan_flushed_[vlan & kTciVlanMask] = ++flushes_;
}

void MacTable::flush_port_in_vlan(PortId port, VlanId vlan) {
  for (Index at = owner(port).oldest; at != kNil;) {
    const Index next = nodes_[at].newer;
    if ((nodes_[at].key & kTciVlanMask) == vlan) forget(at);
    at = next;
  }
}

void MacTable::clear() {
  for (std::size_t port = 0; port < owners_.size(); ++port) {
    flush_port(static_cast<PortId>(port));
  }
}

std::optional<MacEntry> MacTable::entry(MacAddress mac, VlanId vlan, std::uint32_t now_s) const {
  const Index at = find_node(key_of(mac, vlan));
  if (at == kNil || !valid(nodes_[at])) return std::nullopt;
  return entry_of(nodes_[at], now_s);
}

std::size_t MacTable::size_of(PortId port) const {
  return port < owners_.size() ? owners_[port].count : 0;
}

MacEntry MacTable::entry_of(const Node& node, std::uint32_t now_s) const {
  return {MacAddress::from_number(node.key >> 12), static_cast<VlanId>(node.key & kTciVlanMask),
          node.port, now_s - node.seen_s};
}

MacTable::Owner& MacTable::owner(PortId port) {
  if (port >= owners_.size()) owners_.resize(std::size_t{port} + 1);
  return owners_[port];
}

void MacTable::link_newest(Index index, PortId port) {
  Owner& own = owner(port);
  Node& node = nodes_[index];
  node.port = port;
  node.seen_again = false;
  node.newer = kNil;
  node.older = own.newest;
  if (own.newest != kNil) {
    nodes_[own.newest].newer = index;
  } else {
    own.oldest = index;
  }
  own.newest = index;
  if (own.count++ == 0) ++holders_;
  if (own.count > owner(greediest_).count) greediest_ = port;
}

// Takes a node out of the list it is in: its port's, or the stale one.
void MacTable::unlink(Index index) {
  Node& node = nodes_[index];
  Owner& own = owners_[node.port];
  const bool stale = node.stamp < own.flushed;
  if (node.older != kNil) {
    nodes_[node.older].newer = node.newer;
  } else if (stale) {
    stale_ = node.newer;
  } else {
    own.oldest = node.newer;
  }
  if (node.newer != kNil) {
    nodes_[node.newer].older = node.older;
  } else if (!stale) {
    own.newest = node.older;
  }
  if (!stale && --own.count == 0) --holders_;
}

void MacTable::forget(Index index) {
  Node& node = nodes_[index];
  if (node.stamp >= owners_[node.port].flushed) --live_;
  unlink(index);
  Index* at = bucket_of(node.key);
  while (*at != index) at = &nodes_[*at].chain;
  *at = node.chain;
  node.key = kFree;
  node.chain = free_;
  free_ = index;
}

MacTable::Index MacTable::allocate(std::optional<MacEntry>& evicted, std::uint32_t now_s) {
  if (free_ == kNil && used_ <= entries_max_) return static_cast<Index>(used_++);
  if (free_ == kNil && stale_ != kNil) forget(stale_);
  if (free_ == kNil) {
    const Index victim = victim_of(greediest());
    if (valid(nodes_[victim])) evicted = entry_of(nodes_[victim], now_s);
    forget(victim);
  }
  const Index at = free_;
  free_ = nodes_[at].chain;
  return at;
}

// link_newest() keeps greediest_ right while counts grow; when they shrink it may lag, which is
// noticed once that port no longer holds more than an even share.
PortId MacTable::greediest() {
  if (owners_[greediest_].count <= entries_max_ / std::max<std::size_t>(holders_, 1)) {
    const auto most =
        std::max_element(owners_.begin(), owners_.end(),
                         [](const Owner& a, const Owner& b) { return a.count < b.count; });
    greediest_ = static_cast<PortId>(most - owners_.begin());
  }
  return greediest_;
}

// The oldest that was not seen again; who was gets another turn at the end of the list. Each move
// is paid for by a frame that refreshed the entry, and their number at a time is bounded.
MacTable::Index MacTable::victim_of(PortId port) {
  constexpr int kMovesMax = 64;
  for (int moves = 0; moves < kMovesMax && nodes_[owners_[port].oldest].seen_again; ++moves) {
    const Index survivor = owners_[port].oldest;
    unlink(survivor);
    link_newest(survivor, port);
  }
  return owners_[port].oldest;
}

}  // namespace lanyard
