// SPDX-License-Identifier: MIT
#include "switch/cli/plug_lines.h"

#include "switch/base/text.h"

namespace lanyard {
namespace {

// FNV-1a: any hash does, as long as it is the same tomorrow.
std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return value ^ value >> 32;
}

// QEMU separates by commas; one that is meant stands twice.
std::string qemu_value(std::string_view text) {
  std::string out;
  for (const char c : text) {
    out += c;
    if (c == ',') out += c;
  }
  return out;
}

// For a shell, when it needs it.
std::string shell_word(const std::string& text) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./,:=@+";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos) return text;
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

std::string xml(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '\'': out += "&apos;"; break;
      default: out += c;
    }
  }
  return out;
}

std::string netdev(const PlugPlace& place, std::size_t index) {
  return fmt::format("vde,id=n{},sock={}", index, qemu_value(place.socket));
}

std::string device(const PlugPlace& place, std::size_t index, std::string_view vm) {
  return fmt::format("virtio-net-pci,netdev=n{},mac={}", index, vm_mac(vm, place.network).text());
}

}  // namespace

MacAddress vm_mac(std::string_view vm, std::string_view network) {
  return MacAddress::from_number(0x525400000000 |
                                 (hash(fmt::format("{}/{}", vm, network)) & 0xffffff));
}

std::string qemu_line(const PlugPlace& place, std::size_t index, std::string_view vm) {
  return fmt::format("-netdev {} -device {}", shell_word(netdev(place, index)),
                     device(place, index, vm));
}

std::string virtualbox_lines(const std::vector<PlugPlace>& places, std::string_view vm) {
  std::string out;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const std::size_t nic = i + 1;
    std::string mac = vm_mac(vm, places[i].network).text().substr(9);
    std::erase(mac, ':');
    append(out, "VBoxManage modifyvm {} --nic{} generic --nic-generic-drv{} VDE ",
           shell_word(std::string(vm)), nic, nic);
    // VirtualBox's own range, so that it takes them without a question.
    append(out, "--nic-property{} {} --mac-address{} 080027{}\n", nic,
           shell_word("network=" + places[i].socket), nic, mac);
    if (places[i].interface.empty()) continue;
    append(
        out,
        "# without the VDE driver: VBoxManage modifyvm {} --nic{} bridged --bridge-adapter{} {}\n",
        shell_word(std::string(vm)), nic, nic, shell_word(places[i].interface));
  }
  return out;
}

std::string libvirt_lines(const std::vector<PlugPlace>& places, std::string_view vm) {
  std::string out =
      "<!-- in <domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'> -->\n"
      "<qemu:commandline>\n";
  for (std::size_t i = 0; i < places.size(); ++i) {
    append(out, "  <qemu:arg value='-netdev'/><qemu:arg value='{}'/>\n", xml(netdev(places[i], i)));
    // High slots, clear of those libvirt gives out itself.
    append(out, "  <qemu:arg value='-device'/><qemu:arg value='{},addr=0x{:x}'/>\n",
           xml(device(places[i], i, vm)), 0x10 + i);
  }
  return out + "</qemu:commandline>\n";
}

}  // namespace lanyard
