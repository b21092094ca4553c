// SPDX-License-Identifier: MIT
#include "backend/gateway/tftp_server.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "tests/support/dhcp_world.h"
#include "tests/support/random.h"
#include "tests/support/temporary_directory.h"

namespace lanyard {
namespace {

using namespace std::chrono_literals;
using testing::ip;
using testing::mac_number;
using testing::RecordingLink;
using testing::TemporaryDirectory;

using Bytes = std::vector<std::uint8_t>;

Bytes request(std::string_view file, const std::vector<std::string>& rest = {"octet"},
              std::uint8_t opcode = 1) {
  Bytes bytes{0, opcode};
  const auto add = [&](std::string_view text) {
    bytes.insert(bytes.end(), text.begin(), text.end());
    bytes.push_back(0);
  };
  add(file);
  for (const std::string& text : rest) add(text);
  return bytes;
}

Bytes acknowledgement(std::uint64_t block) {
  return {0, 4, static_cast<std::uint8_t>(block >> 8), static_cast<std::uint8_t>(block)};
}

struct TftpWorld {
  TftpWorld() {
    config = testing::nat_network();
    config.dhcp.tftp_root = root.path() + "/served";
    std::filesystem::create_directory(config.dhcp.tftp_root);
    start();
  }
  void start() { server = std::make_unique<TftpServer>(config, link, log); }
  void file(const std::string& name, std::string_view content) {
    root.file("served/" + name, content);
  }
  bool send(const Bytes& bytes, std::uint16_t to = 69, std::uint16_t from = 2000,
            std::uint64_t guest = 1) {
    return server->on_datagram(
        {mac_number(guest), ip("10.0.2.15"), ip("10.0.2.2"), from, to, bytes}, now);
  }
  std::vector<RecordingLink::Sent> sent() { return std::exchange(link.sent, {}); }
  // Its code; -1 when the one answer is no error.
  int error_for(const Bytes& bytes) {
    send(bytes);
    const auto all = sent();
    if (all.size() != 1 || all[0].payload[1] != 5) return -1;
    return all[0].payload[3];
  }
  // The file as a client gets it that acknowledges whole windows, losing one in n datagrams.
  std::string fetch(const Bytes& what, std::size_t block_bytes, std::uint64_t window,
                    unsigned lose_each = 0) {
    std::string content;
    send(what);
    std::uint64_t have = 0;
    std::uint64_t since = 0;
    testing::Random random(1);
    for (int idle = 0; idle < 20;) {
      auto all = sent();
      bool gap = false;
      if (all.empty()) {
        ++idle;
        now += 1s;
        server->on_time(now);
        continue;
      }
      idle = 0;
      for (const auto& packet : all) {
        if (lose_each != 0 && random.one_in(lose_each)) continue;
        port = packet.source_port;
        if (packet.payload[1] == 6) {
          options.assign(packet.payload.begin() + 2, packet.payload.end());
          send(acknowledgement(0), port);
          continue;
        }
        if (packet.payload[1] != 3) return "error " + std::to_string(packet.payload[3]);
        const auto number = static_cast<std::uint16_t>(packet.payload[2] << 8 | packet.payload[3]);
        if (number != static_cast<std::uint16_t>(have + 1)) {
          gap = true;
          continue;
        }
        ++have;
        content.append(packet.payload.begin() + 4, packet.payload.end());
        const bool last = packet.payload.size() - 4 < block_bytes;
        if (++since == window || last) {
          since = 0;
          send(acknowledgement(have), port);
        }
        if (last) return content;
      }
      if (gap) {
        since = 0;
        send(acknowledgement(have), port);
      }
    }
    return "gave up";
  }

  TemporaryDirectory root;
  NetworkConfig config;
  RecordingLink link;
  testing::FakeLog log;
  std::unique_ptr<TftpServer> server;
  Time now = 1h;
  std::uint16_t port = 0;
  std::string options;
};

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 7 + i / 251);
  return text;
}

TEST(TftpServer, SendsFilesOfAnySize) {
  TftpWorld world;
  for (const std::size_t size : {0U, 1U, 511U, 512U, 513U, 1024U, 5000U}) {
    world.file("f", pattern(size));
    EXPECT_TRUE(world.fetch(request("f"), 512, 1) == pattern(size)) << size;
    EXPECT_EQ(world.server->sessions(), 0U) << size;
  }
  EXPECT_NE(world.port, 69) << "from a port of its own";
}

TEST(TftpServer, BlockNumbersWrap) {
  TftpWorld world;
  const std::string content = pattern(std::size_t{70'000} * 8 + 3);
  world.file("f", content);
  EXPECT_EQ(world.fetch(request("f", {"octet", "blksize", "8", "windowsize", "32"}), 8, 32),
            content);
}

TEST(TftpServer, NegotiatesWhatItKnows) {
  TftpWorld world;
  world.file("f", pattern(9000));
  const auto all = request("f", {"OCTET", "BLKSIZE", "9000", "tsize", "0", "timeout", "3",
                                 "windowsize", "4", "unknown", "1"});
  EXPECT_TRUE(world.fetch(all, 1468, 4) == pattern(9000));
  using namespace std::string_literals;
  EXPECT_EQ(world.options, "blksize\0001468\0timeout\0003\0windowsize\0004\0tsize\0009000\0"s);
}

TEST(TftpServer, LosesNothingWhenDatagramsAreLost) {
  TftpWorld world;
  world.file("f", pattern(60'000));
  for (const unsigned lose_each : {10U, 20U}) {
    const auto windows = request("f", {"octet", "windowsize", "8"});
    EXPECT_TRUE(world.fetch(windows, 512, 8, lose_each) == pattern(60'000)) << lose_each;
    EXPECT_TRUE(world.fetch(request("f"), 512, 1, lose_each) == pattern(60'000)) << lose_each;
  }
}

TEST(TftpServer, ARepeatedAcknowledgementSendsNothingTwice) {
  TftpWorld world;
  world.file("f", pattern(5000));
  world.send(request("f"));
  const std::uint16_t port = world.sent().at(0).source_port;
  world.send(acknowledgement(1), port);
  EXPECT_EQ(world.sent().size(), 1U);
  world.send(acknowledgement(1), port);
  world.send(acknowledgement(7), port);
  EXPECT_TRUE(world.sent().empty());
}

TEST(TftpServer, NothingLeadsOutOfItsRoot) {
  TftpWorld world;
  world.root.file("secret", "s");
  world.file("inside", "i");
  std::filesystem::create_directory(world.config.dhcp.tftp_root + "/dir");
  const std::string& root = world.config.dhcp.tftp_root;
  ASSERT_EQ(::symlink("../secret", (root + "/out").c_str()), 0);
  ASSERT_EQ(::symlink("/etc/passwd", (root + "/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("/proc/self/root/etc/passwd", (root + "/magic").c_str()), 0);
  ASSERT_EQ(::symlink("inside", (root + "/in").c_str()), 0);
  ASSERT_EQ(::mkfifo((root + "/fifo").c_str(), 0600), 0);
  for (const char* name :
       {"../secret", "/../secret", "dir/../../secret", "..\\secret", "out", "absolute", "magic",
        "dir", "", ".", "..", "fifo", "missing", "inside/below"}) {
    EXPECT_GE(world.error_for(request(name)), 1) << name;
  }
  EXPECT_EQ(world.server->sessions(), 0U);
  EXPECT_EQ(world.fetch(request("in"), 512, 1), "i") << "a link that stays inside";
  EXPECT_EQ(world.fetch(request("/inside"), 512, 1), "i");
  EXPECT_EQ(world.fetch(request("dir\\..\\inside"), 512, 1), "i");
}

TEST(TftpServer, RefusesByCode) {
  TftpWorld world;
  world.file("f", "x");
  EXPECT_EQ(world.error_for(request("f", {"octet"}, 2)), 2);
  EXPECT_EQ(world.error_for(request("f", {"netascii"})), 4);
  EXPECT_EQ(world.error_for(request("f", {"mail"})), 4);
  EXPECT_EQ(world.error_for(request("g")), 1);
  EXPECT_EQ(world.error_for(Bytes{0, 1, 'f'}), 4);
  EXPECT_EQ(world.error_for(Bytes{0, 9, 0, 0}), 4);
  EXPECT_EQ(world.error_for(acknowledgement(1)), -1) << "no answer to an answer";
}

TEST(TftpServer, OthersCannotDisturbATransfer) {
  TftpWorld world;
  world.file("f", pattern(2000));
  world.send(request("f"));
  const std::uint16_t port = world.sent().at(0).source_port;
  EXPECT_TRUE(world.send(acknowledgement(1), port, 2001));
  const auto refused = world.sent();
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].payload[3], 5);
  EXPECT_EQ(refused[0].destination_port, 2001);
  EXPECT_TRUE(world.send({0, 5, 0, 0, 0}, port, 2001)) << "nor end it";
  EXPECT_EQ(world.server->sessions(), 1U);
  EXPECT_TRUE(world.send({0, 5, 0, 0, 0}, port));
  EXPECT_EQ(world.server->sessions(), 0U);
  EXPECT_FALSE(world.send(acknowledgement(1), port)) << "the port may be anybody's now";
}

TEST(TftpServer, TransfersAreBoundedAndEndWithTheirGuest) {
  TftpWorld world;
  world.file("f", pattern(5000));
  for (std::uint16_t port = 1; port <= 100; ++port) world.send(request("f"), 69, port);
  EXPECT_EQ(world.server->sessions(), TftpServer::kSessionsPerGuestMax);
  for (std::uint64_t guest = 2; guest < 2000; ++guest) world.send(request("f"), 69, 2000, guest);
  EXPECT_EQ(world.server->sessions(), TftpServer::kSessionsMax);
  for (unsigned i = 0; i < TftpServer::kTriesMax; ++i) {
    ASSERT_TRUE(world.server->next_deadline());
    world.now = *world.server->next_deadline();
    world.server->on_time(world.now);
  }
  EXPECT_EQ(world.server->sessions(), 0U);
  EXPECT_FALSE(world.server->next_deadline());
}

TEST(TftpServer, AFileThatShrinksEndsTheTransfer) {
  TftpWorld world;
  world.file("f", pattern(5000));
  world.send(request("f"));
  const std::uint16_t port = world.sent().at(0).source_port;
  world.file("f", "short");
  world.send(acknowledgement(1), port);
  const auto answer = world.sent();
  ASSERT_EQ(answer.size(), 1U);
  EXPECT_EQ(answer[0].payload[1], 5);
  EXPECT_EQ(world.server->sessions(), 0U);
}

TEST(TftpServer, WithoutARootItAnswersNobody) {
  TftpWorld world;
  world.config.dhcp.tftp_root = "/does/not/exist";
  world.start();
  EXPECT_TRUE(world.log.contains("/does/not/exist"));
  EXPECT_FALSE(world.send(request("f")));
  world.config.dhcp.tftp_root.clear();
  EXPECT_TRUE(world.server->reconfigure(world.config));
  EXPECT_FALSE(world.send(request("f")));
}

TEST(TftpServer, CutRequestsDoNoHarm) {
  TftpWorld world;
  world.file("f", "x");
  const auto whole = request("f", {"octet", "blksize", "1024", "tsize", "0"});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    world.send(Bytes(whole.begin(), whole.begin() + static_cast<long>(size)), 69,
               static_cast<std::uint16_t>(3000 + size));
  }
  EXPECT_LE(world.server->sessions(), TftpServer::kSessionsPerGuestMax);
}

}  // namespace
}  // namespace lanyard
