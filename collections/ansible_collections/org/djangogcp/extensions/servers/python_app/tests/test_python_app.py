from testinfra.host import Host


def test_a_play_writes_to_the_host(host: Host) -> None:
    assert host.file("/etc/written").content_string == "written"
