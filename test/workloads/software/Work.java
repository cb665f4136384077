import java.io.IOException;
import java.io.RandomAccessFile;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.Pipe;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Threads that count under locks, make garbage, talk over sockets and write into mappings of files on
 * /dev/shm, one of which has lost its name. Answers the questions of software_check.py, as work.py does.
 */
class Work {
    static final Path STATE = Path.of("/workload-state");
    static final Path SHM = Path.of("/dev/shm");
    static final int SIZE = 1 << 20;
    static final int THREADS = 4;

    static final ReentrantLock lock = new ReentrantLock();
    static final List<String> problems = new ArrayList<>();
    static final AtomicLong steps = new AtomicLong();
    static final AtomicLong ticks = new AtomicLong();
    static final AtomicLong echoes = new AtomicLong();
    static final AtomicLong virtual = new AtomicLong();
    static final ConcurrentHashMap<Long, String> kept = new ConcurrentHashMap<>();
    static long counted;
    static MappedByteBuffer named;
    static MappedByteBuffer nameless;
    static FileLock fileLock;

    public static void main(String[] arguments) throws Exception {
        named = map("java-named", false);
        nameless = map("java-nameless", true);
        fileLock = FileChannel.open(SHM.resolve("java-named"), java.nio.file.StandardOpenOption.WRITE).lock();
        for (int number = 0; number < THREADS; number++) {
            int at = number;
            start(() -> count(at));
        }
        echo();
        ScheduledExecutorService scheduled = Executors.newScheduledThreadPool(1);
        scheduled.scheduleWithFixedDelay(ticks::incrementAndGet, 10, 10, TimeUnit.MILLISECONDS);
        Thread.ofVirtual().start(() -> {
            while (true) {
                virtual.incrementAndGet();
                rest(10);
            }
        });
        answer();
    }

    interface Body {
        void run() throws Exception;
    }

    static void start(Body body) {
        Thread thread = new Thread(() -> {
            try {
                body.run();
            } catch (Throwable error) {
                problem("a thread has ended: " + error);
            }
        });
        thread.setDaemon(true);
        thread.start();
    }

    static void rest(int milliseconds) {
        try {
            Thread.sleep(milliseconds);
        } catch (InterruptedException error) {
            problem("somebody has interrupted a thread");
        }
    }

    static void problem(String text) {
        synchronized (problems) {
            problems.add(text);
        }
    }

    static MappedByteBuffer map(String name, boolean unlink) throws IOException {
        Path path = SHM.resolve(name);
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(SIZE);
            MappedByteBuffer map = file.getChannel().map(FileChannel.MapMode.READ_WRITE, 0, SIZE);
            for (int at = 4096; at < SIZE; at += 8) {
                map.putLong(at, expected(at));
            }
            if (unlink) {
                Files.delete(path);
            }
            return map;
        }
    }

    static long expected(int at) {
        return at * 0x9E3779B97F4A7C15L;
    }

    /** Each thread has a word in both mappings; what it counts there and here is the same. */
    static void count(int number) {
        for (long mine = 1;; mine++) {
            lock.lock();
            try {
                counted++;
                named.putLong(8 * number, mine);
                nameless.putLong(8 * number, mine);
            } finally {
                lock.unlock();
            }
            // Garbage, and some that is not.
            String text = "value " + mine + " of " + number;
            kept.put(mine % 5000 * THREADS + number, text);
            steps.incrementAndGet();
            if (mine % 10 == 0) {
                rest(1);
            }
        }
    }

    /** A client and a server on a Unix socket, and a pipe behind it. */
    static void echo() throws IOException {
        UnixDomainSocketAddress address = UnixDomainSocketAddress.of("/run/java.sock");
        ServerSocketChannel listener = ServerSocketChannel.open(StandardProtocolFamily.UNIX);
        listener.bind(address);
        Pipe pipe = Pipe.open();
        start(() -> {
            SocketChannel server = listener.accept();
            ByteBuffer buffer = ByteBuffer.allocateDirect(8);
            while (true) {
                read(server, buffer);
                pipe.sink().write(buffer);
                buffer.clear();
                while (buffer.hasRemaining()) {
                    pipe.source().read(buffer);
                }
                buffer.flip();
                server.write(buffer);
            }
        });
        start(() -> {
            SocketChannel client = SocketChannel.open(address);
            ByteBuffer buffer = ByteBuffer.allocateDirect(8);
            for (long value = 1;; value++) {
                buffer.clear().putLong(value).flip();
                client.write(buffer);
                read(client, buffer);
                if (buffer.getLong() != value) {
                    problem("an echo is not what was sent");
                }
                echoes.set(value);
                rest(5);
            }
        });
    }

    static void read(SocketChannel channel, ByteBuffer buffer) throws IOException {
        buffer.clear();
        while (buffer.hasRemaining()) {
            if (channel.read(buffer) < 0) {
                throw new IOException("the other end is gone");
            }
        }
        buffer.flip();
    }

    static void answer() throws Exception {
        write("ready", "java\n");
        String answered = null;
        long before = 0;
        while (true) {
            String question = Files.exists(STATE.resolve("ask")) ? Files.readString(STATE.resolve("ask")) : null;
            if (question == null || question.equals(answered)) {
                rest(20);
                continue;
            }
            before = check(before);
            answered = question;
            List<String> found;
            synchronized (problems) {
                found = new ArrayList<>(problems);
            }
            String listed = String.join(", ", found.stream().map(text -> "\"" + text.replace('"', '\'') + "\"").toList());
            write("answer", "{\"question\": " + question.strip() + ", \"worked\": " + before
                    + ", \"problems\": [" + listed + "]}\n");
        }
    }

    static void write(String name, String text) throws IOException {
        Path partial = STATE.resolve(name + ".tmp");
        Files.writeString(partial, text);
        Files.move(partial, STATE.resolve(name), StandardCopyOption.ATOMIC_MOVE);
    }

    static boolean moved(AtomicLong[] all, long[] were) {
        for (int at = 0; at < all.length; at++) {
            if (all[at].get() <= were[at]) {
                return false;
            }
        }
        return true;
    }

    /** Notes problems; returns how many steps there were. */
    static long check(long before) throws Exception {
        AtomicLong[] all = {steps, ticks, echoes, virtual};
        long[] were = new long[all.length];
        for (int at = 0; at < all.length; at++) {
            were[at] = all[at].get();
        }
        for (int look = 0; look < 2000 && !moved(all, were); look++) {
            rest(20);
        }
        if (!moved(all, were)) {
            problem("something does not go on: steps, ticks, echoes and virtual threads are at "
                    + List.of(steps, ticks, echoes, virtual));
        }
        System.gc();
        lock.lock();
        try {
            long sum = 0;
            for (int number = 0; number < THREADS; number++) {
                if (named.getLong(8 * number) != nameless.getLong(8 * number)) {
                    problem("the mappings differ in the word of thread " + number);
                }
                sum += named.getLong(8 * number);
            }
            if (sum != counted || sum <= before) {
                problem("in the mappings there is " + sum + ", and " + counted + " was counted, after " + before);
            }
            for (int at = 4096; at < SIZE; at += 8) {
                if (named.getLong(at) != expected(at) || nameless.getLong(at) != expected(at)) {
                    problem("a mapping is damaged at " + at);
                    break;
                }
            }
            // Others see in the file what is in its mapping.
            byte[] file = Files.readAllBytes(SHM.resolve("java-named"));
            if (ByteBuffer.wrap(file).getLong(0) != named.getLong(0)) {
                problem("the file is not what is mapped");
            }
            if (!fileLock.isValid()) {
                problem("a file lock is lost");
            }
        } finally {
            lock.unlock();
        }
        kept.forEach((key, text) -> {
            if (!text.startsWith("value ") || !text.endsWith(" of " + key % THREADS)) {
                problem("the heap is damaged at " + key);
            }
        });
        return counted;
    }
}
