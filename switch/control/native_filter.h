// SPDX-License-Identifier: MIT
//
// A plugin's filter as the switch's: shows it the frames and believes nothing it says of them.
// Lane thread only.
#pragma once

#include <array>

#include "plugins/lanyard_plugin.h"
#include "switch/bridge/filter.h"

namespace lanyard {

class NativePlugin;

class NativeFilter final : public Filter {
 public:
  NativeFilter(NativePlugin& plugin, const lanyard_filter& table)
      : plugin_(plugin), table_(table) {}

  int priority() const override { return table_.priority; }
  void ingress(PortId in, std::span<FrameRef> frames, std::span<Verdict> verdicts) override;
  void egress(PortId out, std::span<Outgoing> frames, std::span<Verdict> verdicts) override;

  // During the call of the plugin's function.
  int writable(std::uint32_t index);
  // Takes the frame out of the batch; an empty frame when it is not there.
  Outgoing take(std::uint32_t index);
  PortId port() const { return static_cast<PortId>(batch_.port); }
  bool is_egress() const { return batch_.direction == LANYARD_EGRESS; }

 private:
  template <typename Item>
  void filter(PortId port, std::span<Item> frames, std::span<Verdict> verdicts);
  template <typename Item>
  void read_back(std::span<Item> frames, std::span<Verdict> verdicts);
  FrameRef& frame(std::uint32_t index) {
    return is_egress() ? outgoing_[index].frame : incoming_[index];
  }
  static void show(const Frame& frame, bool tagged, VlanId vlan, lanyard_frame& to);
  static bool is_as_shown(const Frame& real, const lanyard_frame& shown);
  Verdict judge(std::uint32_t index);
  const char* fault_of(std::uint32_t index) const;

  NativePlugin& plugin_;
  lanyard_filter table_;
  bool broken_ = false;

  // Of the call.
  lanyard_batch batch_{};
  std::span<FrameRef> incoming_;
  std::span<Outgoing> outgoing_;
  std::span<Verdict> verdicts_;
  std::array<lanyard_frame, FrameBatch::kCapacity> shown_{};
  bool any_held_ = false;
  std::uint64_t written_ = 0;  // bits: whose bytes the plugin may have changed
};

}  // namespace lanyard
