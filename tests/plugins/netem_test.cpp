// SPDX-License-Identifier: MIT
//
// Bad cables in virtual time: what is asked for comes out, over many frames or to the nanosecond.
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <bit>
#include <cmath>
#include <fstream>

#include "switch/base/fd.h"
#include "tests/support/fake_plugin_host.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using testing::Bytes;
using testing::FakePluginHost;

constexpr std::uint64_t kMillisecond = 1'000'000;
constexpr std::uint64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMany = 1'000'000;

struct Netem : FakePluginHost {
  Netem() : FakePluginHost(LANYARD_PLUGINS "/netem.so") {
    EXPECT_EQ(run("netem/seed 1"), 0);
    EXPECT_EQ(run("netem/cable 1"), 0);
  }
  void give_many(std::uint64_t count, int direction = LANYARD_INGRESS) {
    const std::vector<Bytes> batch(50, Bytes(60));
    for (std::uint64_t given = 0; given < count; given += batch.size()) give(1, direction, batch);
  }
};

// Three standard deviations of a binomial distribution.
double three_sigma(double count, double p) {
  return 3 * std::sqrt(count * p * (1 - p));
}

TEST(Netem, LeavesGoodCablesAlone) {
  Netem netem;
  netem.run("netem/loss 100");
  netem.give(2, LANYARD_INGRESS, 60);
  EXPECT_EQ(netem.arrived.size(), 1U);
  EXPECT_EQ(netem.run("netem/uncable 1"), 0);
  netem.give(1, LANYARD_INGRESS, 60);
  EXPECT_EQ(netem.arrived.size(), 2U);
}

TEST(Netem, LosesThePercentageAskedFor) {
  for (const double percent : {1.0, 10.0, 50.0}) {
    Netem netem;
    netem.run(fmt::format("netem/loss LR{}", percent));
    netem.keep = false;
    netem.give_many(kMany);
    const double wanted = static_cast<double>(kMany) * percent / 100;
    EXPECT_NEAR(static_cast<double>(netem.dropped), wanted, three_sigma(kMany, percent / 100))
        << percent << " %";
    EXPECT_EQ(netem.passed + netem.dropped, kMany);
    netem.passed = 0;
    netem.give_many(1000, LANYARD_EGRESS);
    EXPECT_EQ(netem.passed, 1000U) << "the other direction is good";
  }
}

TEST(Netem, LosesInBursts) {
  Netem netem;
  netem.run("netem/loss 10");
  netem.run("netem/lostburst 5");
  netem.keep = false;
  std::uint64_t bursts = 0;
  bool lost_before = false;
  for (std::uint64_t i = 0; i < kMany / 4; ++i) {
    const std::uint64_t before = netem.dropped;
    netem.give(1, LANYARD_INGRESS, {Bytes(60)});
    const bool lost = netem.dropped != before;
    if (lost && !lost_before) ++bursts;
    lost_before = lost;
  }
  const double mean = static_cast<double>(netem.dropped) / static_cast<double>(bursts);
  EXPECT_NEAR(mean, 5, 0.25);
  // Frames of a burst are not independent: the spread is that of the bursts.
  EXPECT_NEAR(static_cast<double>(netem.dropped) / (kMany / 4.0), 0.1, 0.006);
}

TEST(Netem, DelaysToTheNanosecond) {
  Netem netem;
  netem.run("netem/delay 1");
  const std::uint64_t start = netem.now_ns;
  netem.give(1, LANYARD_INGRESS, 60);
  netem.advance(kMillisecond - 1);
  EXPECT_TRUE(netem.arrived.empty());
  netem.advance(1);
  ASSERT_EQ(netem.arrived.size(), 1U);
  EXPECT_EQ(netem.arrived[0].at_ns, start + kMillisecond);
}

TEST(Netem, ARandomDelayKeepsOrderUnlessToldOtherwise) {
  const auto out_of_order = [](const char* fifo) {
    Netem netem;
    netem.run("netem/delay 50+20");
    netem.run(fifo);
    std::size_t overtaken = 0;
    for (std::uint8_t i = 0; i < 100; ++i) {
      netem.give(1, LANYARD_INGRESS, {Bytes(60, i)});
      netem.advance(kMillisecond);
    }
    netem.advance(kSecond);
    EXPECT_EQ(netem.arrived.size(), 100U);
    for (std::size_t i = 1; i < netem.arrived.size(); ++i) {
      if (netem.arrived[i].bytes[0] < netem.arrived[i - 1].bytes[0]) ++overtaken;
    }
    return overtaken;
  };
  EXPECT_EQ(out_of_order("netem/fifo 1"), 0U);
  EXPECT_GT(out_of_order("netem/fifo 0"), 10U);
}

TEST(Netem, KeepsTheRate) {
  for (const char* const word : {"netem/bandwidth 125K", "netem/speed 125K"}) {
    Netem netem;
    netem.run(word);
    for (int i = 0; i < 10'000; ++i) netem.give(1, LANYARD_INGRESS, {Bytes(1498)});
    netem.advance(50 * kSecond);
    // Two bytes more than the frame, as in a stream.
    const double wanted = 50.0 * 125 * 1024 / 1500;
    EXPECT_NEAR(static_cast<double>(netem.arrived.size()), wanted, wanted / 100) << word;
  }
}

TEST(Netem, DropsWhatTheChannelCannotHold) {
  Netem netem;
  netem.run("netem/delay 100");
  netem.run("netem/chanbufsize 1000");
  for (int i = 0; i < 20; ++i) netem.give(1, LANYARD_INGRESS, {Bytes(98)});
  EXPECT_EQ(netem.dropped, 10U);
  netem.advance(kSecond);
  EXPECT_EQ(netem.arrived.size(), 10U);
  netem.give(1, LANYARD_INGRESS, {Bytes(98)});
  EXPECT_EQ(netem.dropped, 10U) << "there is room again";
}

TEST(Netem, DoublesFrames) {
  Netem netem;
  netem.run("netem/dup 20");
  for (int i = 0; i < 100'000; ++i) netem.give(1, LANYARD_INGRESS, {Bytes(60)});
  netem.advance(1);
  // A copy may be doubled again: 1 / (1 - p).
  EXPECT_NEAR(static_cast<double>(netem.arrived.size()), 125'000, 1000);
}

TEST(Netem, AlwaysDoubledComesToAnEnd) {
  Netem netem;
  netem.run("netem/dup 100");
  netem.give(1, LANYARD_INGRESS, {Bytes(60)});
  netem.advance(1);
  EXPECT_EQ(netem.arrived.size(), 64U);
}

TEST(Netem, DamagesTheNumberOfBitsAskedFor) {
  Netem netem;
  netem.run("netem/noise 1000");
  const std::uint64_t megabytes = 16;
  for (std::uint64_t i = 0; i < megabytes * 1024; ++i) {
    netem.give(1, LANYARD_INGRESS, {Bytes(1024)});
  }
  std::uint64_t bits = 0;
  for (const auto& one : netem.arrived) {
    for (const std::uint8_t byte : one.bytes)
      bits += static_cast<std::uint64_t>(std::popcount(byte));
  }
  const double wanted = static_cast<double>(1000 * megabytes);
  EXPECT_NEAR(static_cast<double>(bits), wanted, 4 * std::sqrt(wanted));
}

TEST(Netem, AnMtuCountsTwoBytesMore) {
  Netem netem;
  netem.run("netem/mtu 102");
  netem.give(1, LANYARD_INGRESS, {Bytes(100), Bytes(101)});
  EXPECT_EQ(netem.arrived.size(), 1U);
  EXPECT_EQ(netem.dropped, 1U);
}

TEST(Netem, WalksThroughMarkovStates) {
  Netem netem;
  for (const char* const line :
       {"netem/markov-numnodes 2", "netem/markov-name 0,good", "netem/markov-name 1,bad",
        "netem/loss 100[1]", "netem/setedge 0,1,10", "netem/setedge 1,0,30", "netem/markov-time 10",
        "netem/markov-debug 1"}) {
    EXPECT_EQ(netem.run(line), 0) << line;
  }
  std::uint64_t given = 0;
  for (; given < 100'000; ++given) {
    netem.give(1, LANYARD_INGRESS, {Bytes(60)});
    netem.advance(10 * kMillisecond);
  }
  // In balance 10 of 40 are in the bad state.
  EXPECT_NEAR(static_cast<double>(netem.dropped) / static_cast<double>(given), 0.25, 0.02);
  ASSERT_FALSE(netem.told().empty());
  EXPECT_EQ(netem.told().front(), "Node 0 \"good\" -> 1 \"bad\"");
  EXPECT_EQ(netem.run("netem/showedges 0"), 0);
  EXPECT_THAT(netem.reply(), ::testing::ElementsAre("Edge 0 ->0  \"good\"->\"good\" weigth 90",
                                                    "Edge 0 ->1  \"good\"->\"bad\" weigth 10"));
}

TEST(Netem, ReadsWirefiltersValues) {
  struct Row {
    const char* line;
    const char* shown;
  };
  for (const Row& row : {Row{"netem/loss LR10", "Loss   L->R 10+0U   R->L 0+0U"},
                         Row{"netem/lostburst RL3", "Lburst L->R 0+0U   R->L 3+0U"},
                         Row{"netem/delay 5+1N", "Delay  L->R 5+1N   R->L 5+1N"},
                         Row{"netem/bandwidth 128K", "Bandw  L->R 131072+0U   R->L 131072+0U"},
                         Row{"netem/band 3G", "Bandw  L->R 3.22123e+09+0U   R->L 3.22123e+09+0U"},
                         Row{"netem/capacity 64k", "Cap.   L->R 65536+0U   R->L 65536+0U"}}) {
    Netem netem;
    EXPECT_EQ(netem.run(row.line), 0) << row.line;
    EXPECT_EQ(netem.run("netem/showinfo"), 0);
    EXPECT_THAT(netem.reply(), ::testing::Contains(row.shown)) << row.line;
  }
}

TEST(Netem, RefusesWhatIsNoValue) {
  Netem netem;
  for (const char* const line :
       {"netem/loss abc", "netem/loss", "netem/loss -1", "netem/loss 5x", "netem/loss 5[1]",
        "netem/loss 5[", "netem/loss nan", "netem/markov-numnodes 0", "netem/markov-time 0",
        "netem/setedge 0,9,10", "netem/setedge 0,0", "netem/cable x", "netem/cable 70000"}) {
    EXPECT_EQ(netem.run(line), -EINVAL) << line;
  }
  EXPECT_EQ(netem.run("netem/uncable 7"), -ENXIO);
}

TEST(Netem, LoadsFilesOfWords) {
  const testing::TemporaryDirectory directory;
  const std::string inner = directory.path() + "/inner";
  const std::string outer = directory.path() + "/outer";
  std::ofstream(inner) << "netem/loss LR5\n";
  std::ofstream(outer) << "# what the cable is like\n\n  delay 7\r\nsecret 1\ndelay x\nload "
                       << inner << "\nlogout\nmtu 5\n";
  Netem netem;
  EXPECT_EQ(netem.run("netem/load " + outer), 0);
  const std::vector<std::string> told = netem.reply();
  EXPECT_THAT(told, ::testing::ElementsAre(" delay 7", outer + ":3: 1000 Success",
                                           outer + ":4: 1038 Function not implemented", " delay x",
                                           outer + ":5: 1022 Invalid argument", " load " + inner,
                                           " netem/loss LR5", inner + ":1: 1000 Success",
                                           outer + ":6: 1000 Success"))
      << "a line that begins with no word is not shown: it may be anything";
  netem.run("netem/showinfo");
  EXPECT_THAT(netem.reply(), ::testing::Contains("Loss   L->R 5+0U   R->L 0+0U"));
  EXPECT_THAT(netem.reply(), ::testing::Contains("Delay  L->R 7+0U   R->L 7+0U"));
  EXPECT_THAT(netem.reply(), ::testing::Contains("MTU    L->R 0     R->L 0   "));
}

TEST(Netem, DoesNotLoadWhatIsNoFile) {
  const testing::TemporaryDirectory directory;
  Netem netem;
  EXPECT_EQ(netem.run("netem/load"), -ENOENT);
  EXPECT_EQ(netem.run("netem/load " + directory.path()), -EINVAL);
  EXPECT_EQ(netem.run("netem/load /dev/zero"), -EINVAL);
  const std::string itself = directory.path() + "/itself";
  std::ofstream(itself) << "load " << itself << "\n";
  EXPECT_EQ(netem.run("netem/load " + itself), 0);
  EXPECT_THAT(netem.reply(),
              ::testing::Contains(itself + ":1: 1040 Too many levels of symbolic links"));
}

TEST(Netem, BlinksForEveryFrameThatLeaves) {
  const testing::TemporaryDirectory directory;
  const std::string path = directory.path() + "/lamp";
  const UniqueFd lamp(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(lamp.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  const auto seen = [&lamp] {
    std::array<char, 100> text{};
    const ssize_t size = ::recv(lamp.get(), text.data(), text.size(), 0);
    return std::string(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  };
  Netem netem;
  EXPECT_EQ(netem.run("netem/blink " + path), 0);
  netem.give(1, LANYARD_INGRESS, 60);
  EXPECT_EQ(seen(), "1 LR 62\n");
  EXPECT_EQ(netem.run("netem/blinkid me"), 0);
  EXPECT_EQ(netem.run("netem/delay 1"), 0);
  netem.give(1, LANYARD_EGRESS, 100);
  EXPECT_EQ(seen(), "") << "it is still under way";
  netem.advance(kMillisecond);
  EXPECT_EQ(seen(), "me RL 102\n");
  netem.run("netem/showinfo");
  EXPECT_THAT(netem.reply(),
              ::testing::IsSupersetOf({"Blink socket: " + path, std::string("Blink id:     me ")}));
  EXPECT_EQ(netem.run("netem/blink"), 0);
  netem.give(1, LANYARD_INGRESS, 60);
  netem.advance(kMillisecond);
  EXPECT_EQ(seen(), "");
  EXPECT_EQ(netem.run("netem/blinkid two words"), -EINVAL);
  EXPECT_EQ(netem.run("netem/blink /" + std::string(200, 'x')), -ENAMETOOLONG);
}

TEST(Netem, AShutCableCarriesNothing) {
  Netem netem;
  EXPECT_EQ(netem.run("netem/shutdown"), 0);
  netem.give(1, LANYARD_INGRESS, 60);
  netem.give(1, LANYARD_EGRESS, 60);
  EXPECT_EQ(netem.dropped, 2U);
  EXPECT_EQ(netem.run("netem/uncable 1"), 0);
  netem.give(1, LANYARD_INGRESS, 60);
  EXPECT_EQ(netem.arrived.size(), 1U);
}

TEST(Netem, HelpNamesEveryWordOfWirefilter) {
  Netem netem;
  EXPECT_EQ(netem.run("netem/help"), 0);
  std::string text;
  for (const std::string& line : netem.reply()) text += "\n" + line;
  for (const char* const word :
       {"help",    "load",      "showinfo",        "loss",           "lostburst",   "delay",
        "dup",     "bandwidth", "speed",           "noise",          "mtu",         "chanbufsize",
        "fifo",    "shutdown",  "markov-numnodes", "markov-setnode", "markov-name", "markov-time",
        "setedge", "showedges", "showcurrent",     "markov-debug"}) {
    EXPECT_THAT(text, ::testing::HasSubstr("\n" + std::string(word) + " ")) << word;
  }
}

TEST(Netem, WhatIsUnderWayArrivesAtItsEnd) {
  auto netem = std::make_unique<Netem>();
  netem->run("netem/delay 100");
  netem->give(1, LANYARD_INGRESS, 60);
  EXPECT_EQ(netem->run("netem/uncable 1"), 0);
  netem->advance(kSecond);
  EXPECT_EQ(netem->arrived.size(), 1U);
}

}  // namespace
}  // namespace lanyard
