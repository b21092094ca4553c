// SPDX-License-Identifier: MIT
//
// Which port a station was last seen behind, per VLAN (the filtering database of IEEE 802.1D 7.9).
//
// What makes it hard: guests choose the keys. So the hash is keyed with a secret, the number of
// entries is bounded, and a guest that invents addresses takes room only from itself: when the
// table is full a newcomer evicts an entry of the port that holds the most. Unplugging a port must
// not walk a table of 65,536 entries while frames wait, so flushing stamps the port and its entries
// are recognised as stale when met. A MAC seen on two ports at once (a duplicated VM image) must
// not flap per frame: an entry moves only when its port has not seen the station for `hold_s`.
//
// Entries live in a node pool chained from a power-of-two bucket array: 32 bytes a node, no
// allocation after construction, and a node's index is stable, so it can sit in its port's list,
// oldest first, at the same time. An empty table is memory that nobody has touched: a network that
// begins holds up no other one, and costs what its stations need. Lane thread only; time is a
// parameter, in whole seconds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "switch/bridge/port_set.h"
#include "switch/frame/ethernet.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

struct MacEntry {
  MacAddress mac;
  VlanId vlan = 0;
  PortId port = 0;
  std::uint32_t age_s = 0;
};

class MacTable {
 public:
  static constexpr std::size_t kDefaultEntries = 131072;

  struct Settings {
    std::uint32_t expire_s = 100;  // forgotten when unseen for longer; 0: at the next sweep
    std::uint32_t hold_s = 3;      // minimum persistence on a port before a move
    // What the console calls the hash size. The table's own buckets are sized by entries_max, so
    // this is a number that is only shown.
    std::uint32_t shown_buckets = 128;
  };

  enum class Learned : std::uint8_t {
    refreshed,  // known on this port
    added,      // new
    moved,      // known on `from`, now on this port
    held,       // known on `from` and seen there too lately to move
  };
  struct LearnResult {
    Learned what = Learned::refreshed;
    PortId from = kPortNone;
    std::optional<MacEntry> evicted;  // whose room the new entry took
  };

  // `secret` keys the hash; equal secrets make equal tables (tests), production draws it at random.
  explicit MacTable(std::uint64_t secret, std::size_t entries_max = kDefaultEntries);

  // The port of a station, or kPortNone. Does not look at age: the sweep forgets (as VDE does).
  PortId find(MacAddress mac, VlanId vlan) const {
    const Index at = find_node(key_of(mac, vlan));
    return at != kNil && valid(nodes_[at]) ? nodes_[at].port : kPortNone;
  }

  // Starts to fetch what find() or refresh() of this station will read.
  void prefetch(MacAddress mac, VlanId vlan) const {
    const Index at = buckets_[hash_key(key_of(mac, vlan)) & mask_];
    if (at != kNil) __builtin_prefetch(&nodes_[at]);
  }

  // The common case of learn(): true when the station is known on this port, which is noted.
  bool refresh(MacAddress mac, VlanId vlan, PortId port, std::uint32_t now_s) {
    const Index at = find_node(key_of(mac, vlan));
    if (at == kNil || nodes_[at].port != port || !valid(nodes_[at])) return false;
    nodes_[at].seen_s = now_s;
    nodes_[at].seen_again = true;
    return true;
  }

  // Notes that `mac` sent from `port`. Group addresses and the zero address must not be given.
  LearnResult learn(MacAddress mac, VlanId vlan, PortId port, std::uint32_t now_s);

  // O(1): entries of the port, or of the VLAN, or all, are gone at once.
  void flush_port(PortId port);
  void flush_vlan(VlanId vlan);
  // Entries of the port in one VLAN; takes as long as the port has entries.
  void flush_port_in_vlan(PortId port, VlanId vlan);
  void clear();

  // One slice of the sweep: looks at up to `budget` nodes, calls forgotten(entry) for each that is
  // too old. True when the whole table has been seen; the next call starts over.
  template <typename Forgotten>
  bool sweep(std::uint32_t now_s, std::size_t budget, Forgotten&& forgotten);

  // Calls visit(entry) for valid entries from node `from` on until visit returns false; returns the
  // node to continue with, or node_end(). Entries that come and go in between may be missed.
  template <typename Visit>
  std::size_t visit_from(std::size_t from, std::uint32_t now_s, Visit&& visit) const;
  std::size_t node_end() const { return used_; }
  std::optional<MacEntry> entry(MacAddress mac, VlanId vlan, std::uint32_t now_s) const;

  std::uint64_t hash(MacAddress mac, VlanId vlan) const { return hash_key(key_of(mac, vlan)); }
  std::size_t size() const { return live_; }  // flushed VLANs' entries count until swept
  std::size_t size_of(PortId port) const;
  std::size_t entries_max() const { return entries_max_; }

  Settings& settings() { return settings_; }
  const Settings& settings() const { return settings_; }

 private:
  using Index = std::uint32_t;
  static constexpr Index kNil = 0;  // as the kernel gives memory; no node has this number

  // Not initialised on purpose: nodes from used_ on are memory nobody has touched.
  struct Node {
    std::uint64_t key;  // MAC and VLAN: 60 bits
    Index chain;        // next in the bucket, or next free node
    Index older;        // in the list of its port, or of the stale nodes
    Index newer;
    std::uint32_t seen_s;
    std::uint32_t stamp;  // value of flushes_ when learned
    PortId port;
    bool seen_again;  // since it took its place in the list of its port
  };
  static_assert(sizeof(Node) == 32);
  static constexpr std::uint64_t kFree = ~std::uint64_t{0};

  // calloc(3) would hand out used memory, written over, once a table of this size has been freed.
  struct Unmap {
    std::size_t bytes;
    void operator()(Index* buckets) const;
  };
  static std::unique_ptr<Index[], Unmap> make_buckets(std::size_t count);

  // What the table knows of one port.
  struct Owner {
    Index oldest = kNil;
    Index newest = kNil;
    std::uint32_t count = 0;
    std::uint32_t flushed = 0;  // entries with an older stamp are gone
  };

  static std::uint64_t key_of(MacAddress mac, VlanId vlan) { return mac.number() << 12 | vlan; }
  // A multiply-xorshift mix over key and secret: an attacker who does not know the secret cannot
  // choose keys that share a bucket, and the bound on entries limits what luck can do.
  std::uint64_t hash_key(std::uint64_t key) const {
    std::uint64_t h = (key ^ secret_) * 0x9e3779b97f4a7c15U;
    h ^= h >> 32;
    h = (h + secret_) * 0xd6e8feb86659fd93U;
    return h ^ h >> 32;
  }
  Index* bucket_of(std::uint64_t key) { return &buckets_[hash_key(key) & mask_]; }
  Index find_node(std::uint64_t key) const {
    Index at = buckets_[hash_key(key) & mask_];
    while (at != kNil && nodes_[at].key != key) at = nodes_[at].chain;
    return at;
  }
  bool valid(const Node& node) const {
    return node.key != kFree && node.stamp >= owners_[node.port].flushed &&
           node.stamp >= vlan_flushed_[node.key & kTciVlanMask];
  }
  MacEntry entry_of(const Node& node, std::uint32_t now_s) const;
  Owner& owner(PortId port);
  void link_newest(Index index, PortId port);
  void unlink(Index index);
  void forget(Index index);
  Index allocate(std::optional<MacEntry>& evicted, std::uint32_t now_s);
  PortId greediest();
  Index victim_of(PortId port);

  Settings settings_;
  std::uint64_t secret_;
  std::size_t entries_max_;
  std::size_t mask_;
  std::unique_ptr<Index[], Unmap> buckets_;
  std::unique_ptr<Node[]> nodes_;
  std::size_t used_ = 1;  // behind the nodes ever used; the rest is untouched memory
  Index free_ = kNil;     // list of forgotten nodes
  Index stale_ = kNil;    // nodes of flushed ports, linked by `newer`, still in their buckets
  std::size_t live_ = 0;
  std::size_t sweep_at_ = 1;
  std::uint32_t flushes_ = 1;
  PortId greediest_ = 0;
  std::size_t holders_ = 0;  // ports that own at least one entry
  std::vector<Owner> owners_;
  std::vector<std::uint32_t> vlan_flushed_;
};

template <typename Forgotten>
bool MacTable::sweep(std::uint32_t now_s, std::size_t budget, Forgotten&& forgotten) {
  for (; budget != 0 && sweep_at_ < used_; --budget, ++sweep_at_) {
    const Node& node = nodes_[sweep_at_];
    if (node.key == kFree || node.stamp < owners_[node.port].flushed) continue;
    const bool flushed = !valid(node);
    if (!flushed && now_s - node.seen_s <= settings_.expire_s) continue;
    const MacEntry entry = entry_of(node, now_s);
    forget(static_cast<Index>(sweep_at_));
    if (!flushed) forgotten(entry);
  }
  if (sweep_at_ < used_) return false;
  sweep_at_ = 1;
  return true;
}

template <typename Visit>
std::size_t MacTable::visit_from(std::size_t from, std::uint32_t now_s, Visit&& visit) const {
  for (from = std::max<std::size_t>(from, 1); from < used_; ++from) {
    if (valid(nodes_[from]) && !visit(entry_of(nodes_[from], now_s))) return from + 1;
  }
  return from;
}

}  // namespace lanyard
