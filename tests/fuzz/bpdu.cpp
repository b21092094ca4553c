// SPDX-License-Identifier: MIT
//
// BPDUs as any guest may send them, to the reader and to a bridge with four ports. The first byte
// of the input says at which port, and that much time passes.
#include "switch/bridge/bpdu.h"

#include <vector>

#include "switch/bridge/rstp.h"
#include "switch/frame/ethernet.h"
#include "tests/fuzz/input.h"

namespace {

using namespace lanyard;
using lanyard::fuzz::require;

struct Sink final : RstpActions {
  void send_bpdu(PortId, const Bpdu& bpdu) override {
    const BpduFrame frame(bpdu, MacAddress::from_number(2));
    const auto bytes = frame.bytes();
    require(decode_bpdu(bytes.subspan(kAddressesSize)).has_value(), "what is sent can be read");
  }
  void set_state(PortId, PortState) override {}
  void flush(PortId) override { ++flushes; }

  std::size_t flushes = 0;
};

constexpr PortId kPorts = 4;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Sink sink;
  RstpSettings settings;
  settings.mac = MacAddress::from_number(0x020000000001);
  Rstp bridge(settings, sink);
  for (PortId id = 1; id <= kPorts; ++id) {
    bridge.add_port(id);
    bridge.set_link(id, true);
  }
  Time now{0};
  std::size_t ticks = 0;
  constexpr std::size_t kStep = 40;  // a port, and 39 octets of length, LLC and BPDU
  for (std::size_t at = 0; at < size; at += kStep) {
    const std::uint8_t where = data[at];
    const std::size_t count = std::min(kStep, size - at) - 1;
    const std::vector<std::uint8_t> bytes(data + at + 1, data + at + 1 + count);
    const std::optional<Bpdu> bpdu = decode_bpdu(bytes);
    if (bpdu) bridge.receive(static_cast<PortId>(1 + where % kPorts), *bpdu);
    for (int left = where >> 5; left > 0; --left, ++ticks) {
      bridge.tick(now += std::chrono::seconds(1));
    }
  }
  require(sink.flushes <= kPorts * (ticks + 8), "flushes are bounded");
  for (PortId id = 1; id <= kPorts; ++id) {
    const RstpPort& port = *bridge.port(id);
    require(port.selected && !port.reselect && !port.rcvd_msg, "the machines have come to rest");
    require(port.learning == port.learn && port.forwarding == port.forward, "states are reached");
  }
  return 0;
}
