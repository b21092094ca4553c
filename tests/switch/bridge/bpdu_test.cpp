// SPDX-License-Identifier: MIT
//
// BPDUs as bytes: ours and as other bridges send them.
#include "switch/bridge/bpdu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "switch/frame/ethernet.h"

namespace lanyard {
namespace {

std::vector<std::uint8_t> bytes_of(const std::string& hex) {
  std::vector<std::uint8_t> bytes;
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::optional<Bpdu> read(const std::string& hex) {
  return decode_bpdu(std::span<const std::uint8_t>(bytes_of(hex)).subspan(kAddressesSize));
}

// From the source address on, as vde_switch 2.3.2 -F sends it.
const std::string kFromVdeSwitch =
    "0180c2000000 00ff01020304 0027 424203 0000 02 02 7c 100000ff01020304 00000000 "
    "100000ff01020304 8001 0000 2800 0400 0000 00";
// As the Linux bridge sends it: a configuration BPDU.
const std::string kFromLinux =
    "0180c2000000 020000000001 0026 424203 0000 00 00 01 1000020000000001 00000002 "
    "8000020000000002 8003 0100 1400 0200 0f00 0000000000000000";

Bpdu some_bpdu() {
  Bpdu bpdu;
  bpdu.priority = {{0x1000020000000001}, 20000000, {0x8000020000000002}, 0x8003};
  bpdu.proposal = true;
  bpdu.topology_change = true;
  bpdu.times.message_age = 256;
  return bpdu;
}

std::optional<Bpdu> there_and_back(const Bpdu& bpdu) {
  const BpduFrame frame(bpdu, MacAddress::from_number(5));
  return decode_bpdu(frame.bytes().subspan(kAddressesSize));
}

TEST(Bpdu, OfALinuxBridge) {
  const std::optional<Bpdu> bpdu = read(kFromLinux);
  ASSERT_TRUE(bpdu);
  EXPECT_EQ(bpdu->kind, Bpdu::Kind::configuration);
  EXPECT_EQ(bpdu->role, PortRole::designated);
  EXPECT_TRUE(bpdu->topology_change);
  EXPECT_EQ(bpdu->priority.root.number, 0x1000020000000001U);
  EXPECT_EQ(bpdu->priority.cost, 2U);
  EXPECT_EQ(bpdu->priority.bridge.priority(), 0x8000);
  EXPECT_EQ(bpdu->priority.port, 0x8003);
  EXPECT_EQ(bpdu->times, (TreeTimes{256, 20 * 256, 2 * 256, 15 * 256}));
}

TEST(Bpdu, OfVdeSwitchIsKnownByItsTimesAndTranslated) {
  const std::optional<Bpdu> bpdu = read(kFromVdeSwitch);
  ASSERT_TRUE(bpdu);
  EXPECT_TRUE(bpdu->fstp);
  EXPECT_EQ(bpdu->role, PortRole::designated);
  EXPECT_TRUE(bpdu->agreement && bpdu->learning && bpdu->forwarding);
  EXPECT_NE(bpdu->times.forward_delay, 0) << "a delay of 0 must not spread to other bridges";
}

TEST(Bpdu, InTheDialectHasTheBytesOfVdeSwitch) {
  Bpdu bpdu = *read(kFromVdeSwitch);
  const BpduFrame frame(bpdu, *MacAddress::parse("00:ff:01:02:03:04"));
  EXPECT_THAT(frame.bytes(), ::testing::ElementsAreArray(bytes_of(kFromVdeSwitch)));
}

struct Dialect {
  PortRole role;
  std::uint8_t flags;  // role and "blocked"
};

TEST(Bpdu, InTheDialectHasItsRoleBits) {
  constexpr std::size_t kFlagsAt = 21;
  for (const Dialect& row : {Dialect{PortRole::designated, 0x0c}, Dialect{PortRole::root, 0x44},
                             Dialect{PortRole::alternate, 0x4a}, Dialect{PortRole::backup, 0x4a}}) {
    Bpdu bpdu;
    bpdu.fstp = true;
    bpdu.role = row.role;
    bpdu.agreement = row.role != PortRole::designated;
    bpdu.proposal = true;  // of which it knows nothing
    const BpduFrame frame(bpdu, MacAddress{});
    EXPECT_EQ(frame.bytes()[kFlagsAt], row.flags) << static_cast<int>(row.role);
    EXPECT_EQ(frame.bytes().size(), 53U);
    const std::optional<Bpdu> back = there_and_back(bpdu);
    ASSERT_TRUE(back);
    EXPECT_FALSE(back->proposal);
    const PortRole role = row.role == PortRole::backup ? PortRole::alternate : row.role;
    EXPECT_EQ(back->role, role);
  }
}

TEST(Bpdu, OfABlockedPortOfVdeSwitchWithoutAgreementOffersARoot) {
  std::string hex = kFromVdeSwitch;
  hex.replace(hex.find("7c"), 2, "0a");
  const std::optional<Bpdu> bpdu = read(hex);
  ASSERT_TRUE(bpdu);
  EXPECT_EQ(bpdu->role, PortRole::designated);
  EXPECT_TRUE(bpdu->proposal);
}

TEST(Bpdu, ComesBackAsItWasSent) {
  EXPECT_EQ(there_and_back(some_bpdu()), some_bpdu());
  Bpdu agreement = some_bpdu();
  agreement.proposal = false;
  agreement.role = PortRole::root;
  agreement.agreement = agreement.learning = agreement.forwarding = true;
  EXPECT_EQ(there_and_back(agreement), agreement);
  Bpdu configuration;
  configuration.kind = Bpdu::Kind::configuration;
  configuration.acknowledgment = true;
  EXPECT_EQ(there_and_back(configuration), configuration);
  Bpdu notification;
  notification.kind = Bpdu::Kind::topology_change_notification;
  EXPECT_EQ(there_and_back(notification), notification);
}

TEST(Bpdu, HasNumbersInItsPadding) {
  Bpdu numbered = some_bpdu();
  numbered.numbers = Bpdu::Numbers{0x1234, 0xfffe};
  EXPECT_EQ(there_and_back(numbered), numbered);
  EXPECT_EQ(BpduFrame(numbered, MacAddress{}).bytes().size(), 60U);
  numbered.fstp = true;
  EXPECT_FALSE(there_and_back(numbered)->numbers) << "that one has no padding";
}

TEST(Bpdu, IsPaddedToTheLeastFrame) {
  EXPECT_EQ(BpduFrame(some_bpdu(), MacAddress{}).bytes().size(), 60U);
}

struct Refused {
  const char* why;
  const char* hex;
};

TEST(Bpdu, ThatIsNoneIsRefused) {
  const Refused rows[] = {
      {"no bytes", "0180c2000000 020000000001"},
      {"half a length", "0180c2000000 020000000001 00"},
      {"a length past the end", "0180c2000000 020000000001 0026 424203 0000 00 00"},
      {"another SAP", "0180c2000000 020000000001 0007 aaaa03 0000 00 80"},
      {"another protocol", "0180c2000000 020000000001 0007 424203 0001 00 80"},
      {"another type", "0180c2000000 020000000001 0007 424203 0000 00 81"},
      {"a configuration cut short", "0180c2000000 020000000001 0007 424203 0000 00 00"},
      {"older than it may get",
       "0180c2000000 020000000001 0026 424203 0000 00 00 00 1000020000000001 00000002 "
       "8000020000000002 8003 1400 1400 0200 0f00"},
      {"rapid, but of version 0",
       "0180c2000000 00ff01020304 0027 424203 0000 00 02 7c 100000ff01020304 00000000 "
       "100000ff01020304 8001 0000 1400 0200 0f00 00"},
  };
  for (const Refused& row : rows) EXPECT_FALSE(read(row.hex)) << row.why;
}

TEST(BridgeId, IsPrintedAsVdeDoes) {
  EXPECT_EQ(BridgeId::of(0x8000, *MacAddress::parse("00:ff:01:02:03:04")).text(),
            "80:00:00:ff:01:02:03:04");
}

}  // namespace
}  // namespace lanyard
