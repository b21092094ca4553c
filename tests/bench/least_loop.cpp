// SPDX-License-Identifier: MIT
//
// The least that can stand between two VDE clients: it makes the handshake with the first two that
// come, then moves datagrams from one to the other with recvmmsg and sendmmsg. No table, no epoll,
// no counters, no checks. Whatever a switch costs above this is what switching costs, and the
// comparison holds on any machine.
//
//   bench_least_loop --sock DIR [--batch 64] [--sndbuf BYTES]
//
// One process for each direction, so that neither pays for a descriptor table shared between
// threads: this process relays from the first client to the second, its child the way back. A full
// receiver blocks the relay.

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "vde_wire.h"

namespace {

using namespace lanyard::bench;

constexpr std::size_t kBatchMax = 1024;
constexpr std::size_t kSlotSize = 2048;  // the benchmark sends at most 1,514 bytes

struct Arguments {
  std::string directory;
  std::size_t batch = 64;
  int send_buffer = 0;  // 0 = what the kernel gives
};

[[noreturn]] void die(const char* what) {
  std::perror(what);
  std::exit(1);
}

Arguments parse(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string option = argv[i];
    if (option == "--sock") arguments.directory = argv[i + 1];
    if (option == "--batch") arguments.batch = std::strtoul(argv[i + 1], nullptr, 10);
    if (option == "--sndbuf") arguments.send_buffer = std::atoi(argv[i + 1]);
  }
  if (arguments.directory.empty() || arguments.batch == 0 || arguments.batch > kBatchMax) {
    std::fprintf(stderr, "usage: bench_least_loop --sock DIR [--batch 1..%zu] [--sndbuf BYTES]\n",
                 kBatchMax);
    std::exit(2);
  }
  return arguments;
}

int listen_on(const std::string& directory) {
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) die("mkdir");
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_un address = unix_address(directory + "/ctl");
  if (bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) die("bind");
  if (listen(listener, 15) != 0) die("listen");
  return listener;
}

// One client: its data socket, connected both ways as a switch's is. The control connection stays
// open until the end.
int plug_next(int listener, const Arguments& arguments, int number) {
  const int control = accept(listener, nullptr, nullptr);
  if (control < 0) die("accept");
  VdeRequest request;
  if (recv(control, &request, sizeof request, 0) < 122 || request.magic != kVdeMagic)
    die("request");
  const int data = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (arguments.send_buffer > 0) {
    setsockopt(data, SOL_SOCKET, SO_SNDBUF, &arguments.send_buffer, sizeof arguments.send_buffer);
  }
  sockaddr_un peer = {};
  std::memcpy(&peer, &request.family, sizeof peer);
  if (connect(data, reinterpret_cast<const sockaddr*>(&peer), sizeof peer) != 0) die("connect");
  const sockaddr_un own = unix_address(arguments.directory + "/00" + std::to_string(number) + ".d");
  if (bind(data, reinterpret_cast<const sockaddr*>(&own), sizeof own) != 0) die("bind data");
  if (send(control, &own, kReplySize, 0) != static_cast<ssize_t>(kReplySize)) die("reply");
  return data;
}

// Ends when a socket fails, that is, when a client has gone.
void relay(int from, int to, std::size_t batch) {
  std::vector<std::array<char, kSlotSize>> slots(batch);
  std::vector<iovec> vectors(batch);
  std::vector<mmsghdr> messages(batch);
  for (std::size_t i = 0; i < batch; ++i) {
    vectors[i] = {slots[i].data(), kSlotSize};
    messages[i].msg_hdr.msg_iov = &vectors[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  while (true) {
    const int count =
        recvmmsg(from, messages.data(), static_cast<unsigned>(batch), MSG_WAITFORONE, nullptr);
    if (count <= 0) return;
    const auto received = static_cast<std::size_t>(count);
    for (std::size_t i = 0; i < received; ++i) vectors[i].iov_len = messages[i].msg_len;
    for (std::size_t done = 0; done < received;) {
      const int sent =
          sendmmsg(to, messages.data() + done, static_cast<unsigned>(received - done), 0);
      if (sent <= 0) return;
      done += static_cast<std::size_t>(sent);
    }
    for (std::size_t i = 0; i < received; ++i) vectors[i].iov_len = kSlotSize;
  }
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const Arguments arguments = parse(argc, argv);
  const int listener = listen_on(arguments.directory);
  const int first = plug_next(listener, arguments, 1);
  const int second = plug_next(listener, arguments, 2);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) die("fork");
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) relay(second, first, arguments.batch);
    _exit(0);
  }
  relay(first, second, arguments.batch);
  return 0;
}
