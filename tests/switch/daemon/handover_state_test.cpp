// SPDX-License-Identifier: MIT
#include "switch/daemon/handover_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "switch/daemon/handover_fields.h"

namespace lanyard {
namespace {

using testing::HasSubstr;

HandoverPart client(int control, int data, PortId port) {
  HandoverPart part;
  part.kind = "client";
  part.descriptors = {{control, Time(7), false, false}, {data, Time(7), true, false}};
  part.set("port", port);
  part.set("description", std::string("alice \x01 \xff user=root"));
  return part;
}

HandoverState a_state() {
  HandoverState state;
  state.writer = "0.1.0";
  state.sealed = true;
  state.started = std::chrono::hours(3);
  state.values["pidfile"] = "/run/x.pid";
  SwitchRecord one;
  one.name = "lab";
  one.state.mac = MacAddress::from_number(0x00ff01020304);
  one.state.ports_max = 64;
  one.state.vlans = {1, 7, 4094};
  one.state.ports.resize(2);
  one.state.ports[0].id = 1;
  one.state.ports[0].tagged_vlans = {7};
  one.state.ports[1].id = 64;
  one.state.ports[1].native_vlan = 4095;
  one.state.ports[1].user_allowed = 1000;
  one.state.ports[1].link_up = false;
  GuardSettings& guard = one.state.ports[1].guard;
  guard.isolated = guard.sticky = guard.dhcp_guard = guard.arp_inspection = true;
  guard.promiscuous = PromiscuousPolicy::allow_all;
  guard.on_violation = ViolationAction::shut;
  guard.max_macs = 2;
  guard.macs = {MacAddress::from_number(0x525400000003)};
  guard.rate_out = {125'000, 3'000};
  guard.bandwidth_group = "gold";
  one.state.ports[1].guard_chosen = true;
  one.state.ports[1].sticky_macs = guard.macs;
  one.state.guard_by_default.ra_guard = true;
  one.state.bandwidth_groups = {{"gold", {1'000'000, 0}}};
  Binding binding;
  binding.address = *IpAddress::parse("fe80::1");
  binding.mac = guard.macs[0];
  binding.origin = Binding::Origin::dhcp;
  binding.port = 64;
  one.state.bindings = {binding, Binding{}};
  HandoverPart listener;
  listener.kind = "listener";
  listener.descriptors = {{5, Time(1), false, false}};
  listener.parts = {client(8, 9, 1), client(10, 11, 64)};
  HandoverPart vde;
  vde.kind = "vde";
  vde.place = "lane";
  vde.parts = {listener};
  one.parts = {vde};
  one.stations = {{MacAddress::from_number(0x525400000001), 7, 1, 12},
                  {MacAddress::from_number(0x525400000002), 0, 64, 0}};
  CountersRecord counters;
  counters.port = 1;
  counters.received = ~std::uint64_t{0};
  counters.drops["queue_full"] = 3;
  one.counters = {counters};
  FrameRecord frame;
  frame.bytes = std::string(60, 'x');
  frame.vlan = 7;
  frame.tagged = true;
  one.queues = {{64, 10, {frame, frame}}};
  state.switches = {one};
  return state;
}

std::string with_format(std::string bytes, int format, int readable_from) {
  bytes[8] = static_cast<char>(format);
  bytes[12] = static_cast<char>(readable_from);
  return bytes;
}

TEST(HandoverState, ComesOutAsItWentIn) {
  const HandoverState state = a_state();
  const Result<HandoverState> read = decode_handover(encode_handover(state));
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read.value(), state);
}

TEST(HandoverState, AnEmptyOneToo) {
  const Result<HandoverState> read = decode_handover(encode_handover({}));
  ASSERT_TRUE(read) << read.error().text;
  EXPECT_EQ(read.value(), HandoverState{});
}

TEST(HandoverState, NamesEveryDescriptor) {
  std::vector<int> numbers;
  for (const HeldDescriptor& held : descriptors_of(a_state())) numbers.push_back(held.number);
  EXPECT_EQ(numbers, (std::vector<int>{5, 8, 9, 10, 11}));
}

TEST(HandoverState, IsRefusedWhenCutAnywhere) {
  const std::string bytes = encode_handover(a_state());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(decode_handover(std::string_view(bytes).substr(0, size))) << size;
  }
}

TEST(HandoverState, IsRefusedWhenAnyBitOfItsContentIsAnother) {
  const std::string good = encode_handover(a_state());
  for (std::size_t at = 16; at < good.size(); ++at) {
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ (1 << at % 8));
    ASSERT_FALSE(decode_handover(bad)) << at;
  }
}

TEST(HandoverState, OfTheNextFormatIsReadWhenItsWriterSaysSo) {
  const std::string bytes = encode_handover(a_state());
  const auto newer = static_cast<int>(kHandoverFormat) + 1;
  EXPECT_TRUE(decode_handover(with_format(bytes, newer, static_cast<int>(kHandoverFormat))));
  const Result<HandoverState> refused = decode_handover(with_format(bytes, newer, newer));
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text, HasSubstr("readable from format"));
  EXPECT_FALSE(decode_handover(with_format(bytes, 0, 0)));
}

TEST(HandoverState, NamesWhatCannotBe) {
  struct Row {
    const char* what;
    void (*spoil)(HandoverState&);
    const char* sentence;
  };
  const Row rows[] = {
      {"a port that does not exist", [](HandoverState& s) { s.switches[0].state.ports[1].id = 65; },
       "port 65 of 64 ports"},
      {"a port that is there twice", [](HandoverState& s) { s.switches[0].state.ports[1].id = 1; },
       "or twice"},
      {"one descriptor for two",
       [](HandoverState& s) {
         s.switches[0].parts[0].parts[0].parts[0].descriptors[0].number = 10;
       },
       "two parts have descriptor 10"},
      {"no descriptor",
       [](HandoverState& s) { s.switches[0].parts[0].parts[0].descriptors[0].number = -1; },
       "descriptor -1"},
      {"a station behind no port", [](HandoverState& s) { s.switches[0].stations[0].port = 2; },
       "behind port 2"},
      {"a frame too short",
       [](HandoverState& s) { s.switches[0].queues[0].frames[0].bytes = "short"; },
       "a frame of 5 bytes"},
      {"a frame that owes more than it has",
       [](HandoverState& s) {
         Offload& owed = s.switches[0].queues[0].frames[0].offload;
         owed.needs_checksum = true;
         owed.checksum_start = 59;
       },
       "a frame of 60 bytes"},
  };
  for (const Row& row : rows) {
    HandoverState state = a_state();
    row.spoil(state);
    const Result<HandoverState> read = decode_handover(encode_handover(state));
    ASSERT_FALSE(read) << row.what;
    EXPECT_THAT(read.error().text, HasSubstr(row.sentence)) << row.what;
  }
}

TEST(HandoverState, HasTheChecksumOfTheStandard) {
  EXPECT_EQ(crc32c("123456789"), 0xe3069283U);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aaU);
  EXPECT_EQ(crc32c(""), 0U);
}

// ---- records of a reader and a writer that know different fields ----

struct Newer {
  std::uint32_t a = 1;
  std::string b = "two";
  std::vector<std::uint16_t> c{3, 4};
};
struct Older {
  std::uint32_t a = 0;
  std::vector<std::uint16_t> c;
  std::string d = "preset";
};
template <class Archive>
void fields(Archive& archive, Newer& r) {
  archive(1, r.a);
  archive(2, r.b);
  archive(3, r.c);
}
template <class Archive>
void fields(Archive& archive, Older& r) {
  archive(1, r.a);
  archive(3, r.c);
  archive(4, r.d);
}

TEST(HandoverFields, UnknownOnesAreSkippedAndMissingOnesKeepTheirPreset) {
  FieldWriter writer;
  Newer newer;
  fields(writer, newer);
  const std::string bytes = writer.take();
  FieldReader reader(bytes);
  Older older;
  fields(reader, older);
  EXPECT_EQ(reader.trouble(), std::nullopt);
  EXPECT_EQ(older.a, 1U);
  EXPECT_EQ(older.c, (std::vector<std::uint16_t>{3, 4}));
  EXPECT_EQ(older.d, "preset");
}

TEST(HandoverFields, ANumberThatDoesNotFitIsRefused) {
  FieldWriter writer;
  writer(1, std::uint32_t{70000});
  const std::string bytes = writer.take();
  FieldReader reader(bytes);
  std::uint16_t small = 0;
  reader(1, small);
  ASSERT_TRUE(reader.trouble());
  EXPECT_THAT(*reader.trouble(), HasSubstr("70000"));
}

}  // namespace
}  // namespace lanyard
