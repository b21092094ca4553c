// SPDX-License-Identifier: MIT
//
// DHCP as any guest may send it: a message by itself, and a server that is told several of them in
// a row, with time passing and machines that answer for addresses.
#include "backend/gateway/dhcp_message.h"

#include <memory>

#include "backend/gateway/dhcp_server.h"
#include "tests/fuzz/plain_text.h"
#include "tests/support/dhcp_world.h"

namespace lanyard::fuzz {
namespace {

void check_message(std::span<const std::uint8_t> bytes) {
  const auto parsed = parse_dhcp_message(bytes);
  if (!parsed) {
    require(is_plain(parsed.error().text), "a refusal can be printed");
    return;
  }
  DhcpMessage message = parsed.value();
  std::vector<DhcpOptionConfig> options{
      {dhcp_option::message_type, {static_cast<std::uint8_t>(message.type)}}};
  for (const auto& [code, value] : message.options) options.push_back({code, value});
  const auto built = build_dhcp_message(message, options, 65000);
  require(!built.left_out.empty() || parse_dhcp_message(built.bytes).ok(),
          "what is understood can be said again");
}

// Two bytes of size before each message, one of who sends it and one of what happens then.
void check_server(Input input) {
  NetworkConfig config = testing::nat_network();
  config.dhcp.ranges = {{testing::ip("10.0.2.15"), testing::ip("10.0.2.18")}};
  config.dhcp.boot_file = "pxelinux.0";
  testing::RecordingLink link;
  testing::MemoryStore store;
  PlainLog log;
  DhcpServer::Callbacks callbacks;
  callbacks.wall_clock_s = [] { return std::int64_t{1'700'000'000}; };
  Time now = std::chrono::hours(1);
  DhcpServer server(config, testing::mac_number(0xffffff), link, store, log, callbacks, now);
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    const std::size_t size = input.word() % 1500U;
    const MacAddress from = testing::mac_number(input.byte() % 8U);
    const std::uint8_t then = input.byte();
    server.on_datagram(
        {from, Ipv4Address(), testing::ip("255.255.255.255"), 68, 67, input.bytes(size)}, now);
    if (then % 4 == 1) now += std::chrono::milliseconds(60);
    if (then % 4 == 2) now += std::chrono::seconds(then);
    if (then % 4 == 3 && !link.probes.empty()) server.on_arp(link.probes.back(), from, now);
    server.on_time(now);
    for (const auto& sent : link.sent) {
      const auto reply = parse_dhcp_message(sent.payload);
      require(reply.ok() && reply.value().is_reply, "an answer is a message");
      const Ipv4Address given = reply.value().yiaddr;
      require(given.is_unspecified() || config.dhcp.ranges[0].contains(given),
              "only addresses of the range are given");
    }
    link.sent.clear();
    require(server.leases(now).size() <= 4, "no more leases than addresses");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  const std::vector<std::uint8_t> exact(data, data + size);
  check_message(exact);
  check_server(Input(exact));
  return 0;
}
