"""A Java virtual machine: see Work.java."""

import os

from software.work import run_for_ever

OPTIONS = ["-Xmx96m", "-XX:+UseG1GC", "-XX:+UsePerfData", "-Xlog:disable"]


def run():
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "Work.java")
    command = ["/usr/lib/jvm/default-java/bin/java", *OPTIONS, program]
    run_for_ever(command, "/var/log/java.log")
