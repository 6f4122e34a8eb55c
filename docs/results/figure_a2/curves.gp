# gnuplot curves.gp makes curves.svg; with -e "format='png'", curves.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 1000,700
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 1000,700
  } else {
    set terminal png noenhanced size 1000,700
  }
}
set output 'curves.'.format
set datafile separator ','
heading = "Test accuracy by rank of P = I + M M^T; dashed: momentum with the step of that rank"."\n"."Figure A.2: rank of P on MNIST; MNIST, paper scale (20000 steps, 5 seeds)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 4
set xlabel 'iteration'
set ylabel 'test accuracy, %'
set key bottom right
set yrange [*:100]
of(name, c) = strcol(1) eq name ? column(c) : NaN
set style fill transparent solid 0.2 noborder
plot 'curves.csv' using 2:(of("momentum", 4)):(of("momentum", 5)) every ::1 with filledcurves lc 1 notitle, 'curves.csv' using 2:(of("momentum", 3)) every ::1 with lines lw 2 lc 1 title "momentum", 'curves.csv' using 2:(of("fop rank 784", 4)):(of("fop rank 784", 5)) every ::1 with filledcurves lc 2 notitle, 'curves.csv' using 2:(of("fop rank 784", 3)) every ::1 with lines lw 2 lc 2 title "fop rank 784", 'curves.csv' using 2:(of("fop rank 100", 4)):(of("fop rank 100", 5)) every ::1 with filledcurves lc 3 notitle, 'curves.csv' using 2:(of("fop rank 100", 3)) every ::1 with lines lw 2 lc 3 title "fop rank 100", 'curves.csv' using 2:(of("fop rank 25", 4)):(of("fop rank 25", 5)) every ::1 with filledcurves lc 4 notitle, 'curves.csv' using 2:(of("fop rank 25", 3)) every ::1 with lines lw 2 lc 4 title "fop rank 25", 'curves.csv' using 2:(of("fop rank 4", 4)):(of("fop rank 4", 5)) every ::1 with filledcurves lc 5 notitle, 'curves.csv' using 2:(of("fop rank 4", 3)) every ::1 with lines lw 2 lc 5 title "fop rank 4", 'curves.csv' using 2:(of("fop rank 1", 4)):(of("fop rank 1", 5)) every ::1 with filledcurves lc 6 notitle, 'curves.csv' using 2:(of("fop rank 1", 3)) every ::1 with lines lw 2 lc 6 title "fop rank 1", 'curves.csv' using 2:(of("momentum; step of rank 784", 3)) every ::1 with lines dt 2 lc 2 title "momentum, step of rank 784", 'curves.csv' using 2:(of("momentum; step of rank 100", 3)) every ::1 with lines dt 2 lc 3 title "momentum, step of rank 100", 'curves.csv' using 2:(of("momentum; step of rank 25", 3)) every ::1 with lines dt 2 lc 4 title "momentum, step of rank 25", 'curves.csv' using 2:(of("momentum; step of rank 4", 3)) every ::1 with lines dt 2 lc 5 title "momentum, step of rank 4", 'curves.csv' using 2:(of("momentum; step of rank 1", 3)) every ::1 with lines dt 2 lc 6 title "momentum, step of rank 1"
