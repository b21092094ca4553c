// SPDX-License-Identifier: MIT
//
// TFTP as any guest may send it, to a server that has one file.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "backend/gateway/tftp_server.h"
#include "tests/fuzz/plain_text.h"
#include "tests/support/dhcp_world.h"

namespace lanyard::fuzz {
namespace {

// Made once, because a fuzzer calls a million times; taken away when the process ends.
class Root {
 public:
  Root() {
    path_ = "/tmp/lanyard-fuzz-XXXXXX";
    require(::mkdtemp(path_.data()) != nullptr, "there is a temporary directory");
    std::ofstream(path_ + "/f") << std::string(3000, 'x');
  }
  ~Root() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Two bytes of size before each packet, and one of where it goes and what happens then.
void check_server(const std::string& root, Input input) {
  NetworkConfig config = testing::nat_network();
  config.dhcp.tftp_root = root;
  testing::RecordingLink link;
  PlainLog log;
  TftpServer server(config, link, log);
  Time now = std::chrono::hours(1);
  std::uint16_t port = TftpServer::kPort;
  for (int i = 0; i < 64 && !input.empty(); ++i) {
    const std::size_t size = input.word() % 1500U;
    const std::uint8_t how = input.byte();
    const auto from = static_cast<std::uint16_t>(2000 + how % 3);
    server.on_datagram({testing::mac_number(1), testing::ip("10.0.2.15"), *config.router, from,
                        (how & 4) != 0 ? TftpServer::kPort : port, input.bytes(size)},
                       now);
    if ((how & 8) != 0) now += std::chrono::seconds(1);
    server.on_time(now);
    for (const auto& sent : link.sent) {
      require(sent.payload.size() >= 4 && sent.payload.size() <= 1472, "an answer fits the MTU");
      require(sent.source_port >= 49152, "an answer comes from a fresh port");
      port = sent.source_port;
    }
    link.sent.clear();
    require(server.sessions() <= TftpServer::kSessionsPerGuestMax, "transfers are bounded");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  static const Root root;
  const std::vector<std::uint8_t> exact(data, data + size);
  if (const auto parsed = lanyard::parse_tftp(exact); !parsed) {
    require(is_plain(parsed.error().text), "a refusal can be printed");
  }
  check_server(root.path(), Input(exact));
  return 0;
}
